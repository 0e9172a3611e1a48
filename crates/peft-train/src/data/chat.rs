//! Chat templates: conversations to text, as `transformers` renders them, and which part of the text is to be learnt.
//!
//! A template is a Jinja program in `chat_template.jinja` or in the field `chat_template` of `tokenizer_config.json`. It sees
//! the messages, the special tokens and today's date, which some templates write into the text: set it where the same file is to
//! give the same tokens on every day.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Zoned;
use jiff::civil::Date;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, ErrorKind};
use serde::Serialize;
use serde_json::{Map, Value};

use super::python_json::PythonJson;
use crate::TrainError;

/// A template with the special tokens that it may name.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    path: PathBuf,
    source: String,
    tokens: Map<String, Value>,
    today: Option<Date>,
    /// The template compiled, at its first use.
    compiled: OnceLock<Environment<'static>>,
}

/// A conversation as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// What the template renders, special tokens included.
    pub text: String,
    /// Bytes of it that the assistant says.
    pub learnt: Vec<Range<usize>>,
}

/// What messages of the template engine call the template.
const NAME: &str = "chat_template";
/// File of newer folders that holds the template alone.
const FILE: &str = "chat_template.jinja";
/// File with the template and the special tokens.
const CONFIG: &str = "tokenizer_config.json";

impl ChatTemplate {
    /// The template of a model folder; `None` where it has none.
    ///
    /// # Errors
    /// [`TrainError::Read`] or [`TrainError::Template`] for files that cannot be read.
    pub fn load(folder: &Path) -> Result<Option<Self>, TrainError> {
        let Some((path, source)) = Self::source_in(folder)? else {
            return Ok(None);
        };
        Ok(Some(Self::new(path, source, &fields(folder)?)))
    }

    /// The text of a folder's template and the file that holds it; `None` where it has none.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn source_in(folder: &Path) -> Result<Option<(PathBuf, String)>, TrainError> {
        let file = folder.join(FILE);
        if let Some(source) = read(&file)? {
            return Ok(Some((file, source)));
        }
        let named = |templates: &Vec<Value>| {
            let is_default = |template: &&Value| template["name"] == "default";
            let default = templates.iter().find(is_default).or(templates.first())?;
            default["template"].as_str().map(str::to_owned)
        };
        let source = match fields(folder)?.get("chat_template") {
            Some(Value::String(source)) => Some(source.clone()),
            Some(Value::Array(templates)) => named(templates),
            _ => None,
        };
        Ok(source.map(|source| (folder.join(CONFIG), source)))
    }

    /// A template from its text; `fields` are those of `tokenizer_config.json`, and `path` is used in messages alone.
    #[must_use]
    pub fn new(path: PathBuf, source: String, fields: &Map<String, Value>) -> Self {
        let token = |(name, value): (&String, &Value)| {
            let text = value.as_str().or_else(|| value["content"].as_str())?;
            name.ends_with("_token")
                .then(|| (name.clone(), Value::from(text)))
        };
        Self {
            path,
            source: without_generation_tags(&source),
            tokens: fields.iter().filter_map(token).collect(),
            today: None,
            compiled: OnceLock::new(),
        }
    }

    /// The same template on another day than today, `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`TrainError::Option`] when it is no date.
    pub fn on(mut self, today: &str) -> Result<Self, TrainError> {
        let date = today.parse().map_err(|_| TrainError::Option {
            option: "today",
            expected: "a date such as 2024-07-26".into(),
            found: today.to_owned(),
        })?;
        self.today = Some(date);
        self.compiled = OnceLock::new();
        Ok(self)
    }

    /// Renders messages; `ask` adds the beginning of an answer.
    ///
    /// # Errors
    /// [`TrainError::Template`] with what the template says, for example that roles must take turns.
    pub fn render(&self, messages: &[Value], ask: bool) -> Result<String, TrainError> {
        let failed = |error: minijinja::Error| TrainError::Template {
            path: self.path.clone(),
            message: format!("{error:#}"),
        };
        let mut context = self.tokens.clone();
        context.insert("messages".into(), messages.to_vec().into());
        context.insert("add_generation_prompt".into(), ask.into());
        let environment = self.environment().map_err(failed)?;
        let template = environment.get_template(NAME).map_err(failed)?;
        let context = minijinja::Value::from(Serde(&context));
        template.render(context).map_err(failed)
    }

    fn environment(&self) -> Result<&Environment<'static>, minijinja::Error> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled);
        }
        let mut environment = environment()?;
        let today = self.today;
        environment.add_function("strftime_now", move |format: String| {
            let now = Zoned::now().datetime();
            let then = today.map_or(now, |date| date.to_datetime(now.time()));
            then.strftime(&format).to_string()
        });
        environment.add_template_owned(NAME, self.source.clone())?;
        Ok(self.compiled.get_or_init(|| environment))
    }

    /// Renders a conversation and finds what the assistant says in it.
    ///
    /// An answer is what a rendering up to and with it has beyond one up to the beginning of the answer, where both begin the
    /// rendering of the whole. Some templates show earlier answers in another form than they asked for them (without their
    /// thoughts); those answers are not learnt.
    ///
    /// # Errors
    /// [`TrainError::Template`] as [`Self::render`], or when no answer can be found.
    pub fn conversation(&self, messages: &[Value]) -> Result<Conversation, TrainError> {
        let text = self.render(messages, false)?;
        let mut learnt = Vec::new();
        for (at, _) in messages
            .iter()
            .enumerate()
            .filter(|(_, message)| message["role"] == "assistant")
        {
            let is_last = at + 1 == messages.len();
            let until = match self.render(&messages[..=at], false) {
                _ if is_last => text.clone(),
                Ok(until) => until,
                Err(_) => continue,
            };
            let Ok(before) = self.render(&messages[..at], true) else {
                continue;
            };
            if text.starts_with(&until) && until.starts_with(&before) && until.len() > before.len()
            {
                learnt.push(before.len()..until.len());
            }
        }
        if learnt.is_empty() {
            return Err(TrainError::Template {
                path: self.path.clone(),
                message: "no answer of the assistant can be told from the rest; learn whole conversations with \
                          train_on_prompt, or give prompt and completion"
                    .into(),
            });
        }
        Ok(Conversation { text, learnt })
    }
}

/// As in `transformers`: blocks take their line, Python's methods of strings are there, and `tojson` writes what Python writes.
fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", raise);
    Ok(environment)
}

fn raise(message: String) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// `json.dumps(value, ensure_ascii=False)`.
fn to_json(value: minijinja::Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let broken = |error: String| minijinja::Error::new(ErrorKind::BadSerialization, error);
    let indent: Option<usize> = options.get("indent")?;
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, PythonJson::new(indent));
    value
        .serialize(&mut serializer)
        .map_err(|error| broken(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| broken(error.to_string()))
}

/// `{% generation %}`, which marks answers for `transformers` and renders nothing, as a block that this engine knows.
fn without_generation_tags(source: &str) -> String {
    let mut source = source.to_owned();
    for (tag, block) in [("endgeneration", "endif"), ("generation", "if true")] {
        for (open, close) in [("{%", "%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%-", "-%}")] {
            source = source.replace(
                &format!("{open} {tag} {close}"),
                &format!("{open} {block} {close}"),
            );
        }
    }
    source
}

/// The fields of `tokenizer_config.json`; none where there is no such file.
fn fields(folder: &Path) -> Result<Map<String, Value>, TrainError> {
    let path = folder.join(CONFIG);
    let Some(text) = read(&path)? else {
        return Ok(Map::new());
    };
    serde_json::from_str(&text).map_err(|error| TrainError::Template {
        path,
        message: error.to_string(),
    })
}

fn read(path: &Path) -> Result<Option<String>, TrainError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TrainError::Read {
            path: path.to_path_buf(),
            source,
        }),
    }
}
