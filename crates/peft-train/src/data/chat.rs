//! Chat templates: conversations to text, as `transformers` renders them, and which part of the text is to be learnt.
//!
//! A template is a Jinja program in `chat_template.jinja` or in the field `chat_template` of `tokenizer_config.json`. It sees
//! the messages, the tools, the special tokens and today's date, which some templates write into the text: set it where the same
//! file is to give the same tokens on every day.

mod answers;
#[cfg(feature = "chat")]
mod bounds;
#[cfg(feature = "chat")]
mod engine;
#[cfg(not(feature = "chat"))]
#[path = "chat/no_engine.rs"]
mod engine;
mod marks;

use std::path::{Path, PathBuf};

use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use serde_json::{Map, Value};

use crate::TrainError;
pub use answers::Conversation;
use engine::{Date, Program};
use marks::Marked;

/// A template with the special tokens that it may name.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    path: PathBuf,
    program: Program,
    /// The program for conversations with tools, where the folder has one of its own.
    with_tools: Option<Program>,
    tokens: Map<String, Value>,
    today: Option<Date>,
}

/// The text of a template, as a folder holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSource {
    /// The file, for messages.
    pub path: PathBuf,
    /// The template.
    pub text: String,
    /// The template for conversations with tools, where there is one of its own.
    pub with_tools: Option<String>,
}

impl TemplateSource {
    /// Both templates, wherever they were read.
    #[must_use]
    pub fn texts(self) -> (String, Option<String>) {
        (self.text, self.with_tools)
    }
}

/// What a template sees beside the messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatContext {
    /// JSON schemas of the tools that the model may call; null for none.
    pub tools: Value,
    /// Documents that the answer may draw from; null for none.
    pub documents: Value,
    /// Settings of the template itself, such as `enable_thinking`.
    pub settings: Map<String, Value>,
}

/// File of newer folders that holds the template alone.
const FILE: &str = "chat_template.jinja";
/// File of newer folders with the template for conversations with tools.
pub const TOOLS_FILE: &str = "additional_chat_templates/tool_use.jinja";
/// File with the template and the special tokens.
const CONFIG: &str = "tokenizer_config.json";
/// Names under which a message may hold what the assistant thought; the first is the one that templates read.
const THOUGHTS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl ChatTemplate {
    /// The template of a model folder; `None` where it has none.
    ///
    /// # Errors
    /// [`TrainError::Read`] or [`TrainError::Template`] for files that cannot be read.
    pub fn load(folder: &Path) -> Result<Option<Self>, TrainError> {
        let Some(source) = Self::source_in(folder)? else {
            return Ok(None);
        };
        Ok(Some(Self::of(source, &fields(folder)?)))
    }

    /// The text of a folder's template; `None` where it has none.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn source_in(folder: &Path) -> Result<Option<TemplateSource>, TrainError> {
        let path = folder.join(FILE);
        if let Some(text) = read(&path)? {
            let with_tools = read(&folder.join(TOOLS_FILE))?;
            return Ok(Some(TemplateSource {
                path,
                text,
                with_tools,
            }));
        }
        let (text, with_tools) = match fields(folder)?.get("chat_template") {
            Some(Value::String(text)) => (Some(text.clone()), None),
            Some(Value::Array(templates)) => {
                let named = |name: &str| {
                    let found = templates.iter().find(|template| template["name"] == name)?;
                    found["template"].as_str().map(str::to_owned)
                };
                let first = || templates.first()?["template"].as_str().map(str::to_owned);
                (named("default").or_else(first), named("tool_use"))
            }
            _ => (None, None),
        };
        Ok(text.map(|text| TemplateSource {
            path: folder.join(CONFIG),
            text,
            with_tools,
        }))
    }

    /// A template from its text alone; `path` is used in messages.
    #[must_use]
    pub fn new(path: PathBuf, text: String, fields: &Map<String, Value>) -> Self {
        let source = TemplateSource {
            path,
            text,
            with_tools: None,
        };
        Self::of(source, fields)
    }

    /// A template from what a folder holds; `fields` are those of `tokenizer_config.json`, which name the special tokens.
    #[must_use]
    pub fn of(source: TemplateSource, fields: &Map<String, Value>) -> Self {
        let token = |(name, value): (&String, &Value)| {
            let text = value.as_str().or_else(|| value["content"].as_str())?;
            name.ends_with("_token")
                .then(|| (name.clone(), Value::from(text)))
        };
        Self {
            path: source.path,
            program: Program::new(&source.text),
            with_tools: source.with_tools.as_deref().map(Program::new),
            tokens: fields.iter().filter_map(token).collect(),
            today: None,
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
        Ok(self)
    }

    /// Renders messages; `ask` adds the beginning of an answer.
    ///
    /// # Errors
    /// [`TrainError::Template`] with what the template says, for example that roles must take turns; [`TrainError::WithoutFeature`] for
    /// every template without the feature `chat`.
    pub fn render(
        &self,
        messages: &[Value],
        context: &ChatContext,
        ask: bool,
    ) -> Result<String, TrainError> {
        Ok(self.marked(messages, context, ask)?.text)
    }

    /// Renders messages, and says where marks that they or the template hold are in the text.
    fn marked(
        &self,
        messages: &[Value],
        context: &ChatContext,
        ask: bool,
    ) -> Result<Marked, TrainError> {
        let mut seen = self.tokens.clone();
        seen.extend(context.settings.clone());
        let thinking = messages.iter().cloned().map(with_thoughts);
        seen.insert("messages".into(), thinking.collect());
        seen.insert("tools".into(), context.tools.clone());
        seen.insert("documents".into(), context.documents.clone());
        seen.insert("add_generation_prompt".into(), ask.into());
        let program = self.program(context);
        let text = program.run(&self.path, seen, self.today.as_ref())?;
        Ok(Marked::read(&text))
    }

    /// Whether the template marks what is to be learnt itself.
    fn says_answers(&self, context: &ChatContext) -> bool {
        self.program(context).generates
    }

    /// Whether the template renders contents that are lists of parts; others want one text.
    #[must_use]
    pub fn takes_parts(&self) -> bool {
        const TEXT: &str = "a few words";
        let message =
            serde_json::json!({"role": "user", "content": [{"type": "text", "text": TEXT}]});
        self.render(&[message], &ChatContext::default(), false)
            .is_ok_and(|text| {
                text.contains(TEXT) && !text.contains("\"type\"") && !text.contains("'type'")
            })
    }

    fn program(&self, context: &ChatContext) -> &Program {
        let own = self
            .with_tools
            .as_ref()
            .filter(|_| !context.tools.is_null());
        own.unwrap_or(&self.program)
    }

    fn refused(&self, message: String) -> TrainError {
        TrainError::Template {
            path: self.path.clone(),
            message,
        }
    }
}

/// As `transformers` hands messages to templates: thoughts stand under the names that templates read.
fn with_thoughts(mut message: Value) -> Value {
    let thoughts = THOUGHTS
        .iter()
        .find_map(|name| message.get(name).filter(|value| !value.is_null()).cloned());
    if let (Some(thoughts), Some(fields)) = (thoughts, message.as_object_mut()) {
        fields.entry("thinking").or_insert_with(|| thoughts.clone());
        fields.insert("reasoning_content".into(), thoughts);
    }
    message
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
    match read_plain_text(path, CONFIG_LIMIT) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TrainError::Read {
            path: path.to_path_buf(),
            source,
        }),
    }
}
