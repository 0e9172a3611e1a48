//! The template engine, set up as `transformers` sets up its own.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use jiff::Zoned;
use jiff::civil::Date;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, State};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::python_json::PythonJson;
use super::{limits, marks};

/// What messages of the template engine call the template.
const NAME: &str = "chat_template";
/// What the context calls the fixed date.
const TODAY: &str = "__today";
/// The filter that stands for `{% generation %}`.
const GENERATION: &str = "__generation";

/// A template, compiled at its first use.
#[derive(Debug, Clone)]
pub(super) struct Program {
    source: String,
    /// Whether it marks what is to be learnt, with `{% generation %}`.
    pub(super) generates: bool,
    compiled: Arc<OnceLock<Environment<'static>>>,
}

impl Program {
    pub(super) fn new(source: &str) -> Self {
        let (source, generates) = with_generation_filter(source);
        Self {
            source,
            generates,
            compiled: Arc::default(),
        }
    }

    /// What it writes.
    pub(super) fn run(
        &self,
        mut seen: Map<String, Value>,
        today: Option<Date>,
    ) -> Result<String, Error> {
        let environment = self.environment()?;
        let template = environment.get_template(NAME)?;
        if let Some(today) = today {
            seen.insert(TODAY.into(), today.to_string().into());
        }
        let mut text = Bounded(Vec::new());
        template.render_captured_to(minijinja::Value::from(Serde(&seen)), &mut text)?;
        String::from_utf8(text.0)
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    }

    fn environment(&self) -> Result<&Environment<'static>, Error> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled);
        }
        let mut environment = environment()?;
        let source = self.source.clone();
        limits::check(&source)?;
        let environment = limits::with_room(move || {
            environment.add_template_owned(NAME, source)?;
            Ok(environment)
        })?;
        Ok(self.compiled.get_or_init(|| environment))
    }
}

/// A text that ends with an error before it takes all memory.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::OUTPUT {
            return Err(io::Error::other(format!(
                "the template writes more than {} bytes",
                limits::OUTPUT
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As in `transformers`: blocks take their line, Python's methods of strings are there, and `tojson` writes what Python writes.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(limits::FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_filter("indent", limits::indent);
    environment.add_filter(GENERATION, |text: String| marks::generated(&text));
    environment.add_function("raise_exception", raise);
    environment.add_function("strftime_now", strftime_now);
    Ok(environment)
}

fn raise(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(state: &State, format: String) -> String {
    let now = Zoned::now().datetime();
    let fixed = state.lookup(TODAY);
    let fixed: Option<Date> = fixed.and_then(|date| date.as_str()?.parse().ok());
    let then = fixed.map_or(now, |date| date.to_datetime(now.time()));
    then.strftime(&format).to_string()
}

/// `json.dumps(value, ensure_ascii=False)`.
fn to_json(value: minijinja::Value, options: Kwargs) -> Result<String, Error> {
    let broken = |error: String| Error::new(ErrorKind::BadSerialization, error);
    let indent: Option<usize> = options.get("indent")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(broken("tojson(ensure_ascii=true) is not known here".into()));
    }
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, PythonJson::new(indent));
    value
        .serialize(&mut serializer)
        .map_err(|error| broken(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| broken(error.to_string()))
}

/// `{% generation %}`, the tag of `transformers` around answers, as a filter block that this engine knows; whether there is one.
fn with_generation_filter(source: &str) -> (String, bool) {
    let (mut out, mut rest, mut found) = (String::with_capacity(source.len()), source, false);
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let inner = &tag[2..end];
        let open = &inner[..inner.len() - inner.trim_start_matches(['-', '+']).len()];
        let close = &inner[inner.trim_end_matches(['-', '+']).len().max(open.len())..];
        let word = inner[open.len()..inner.len() - close.len()].trim();
        match word {
            "generation" => out.push_str(&format!("{{%{open} filter {GENERATION} {close}%}}")),
            "endgeneration" => out.push_str(&format!("{{%{open} endfilter {close}%}}")),
            _ => out.push_str(&tag[..end + 2]),
        }
        found |= word == "generation";
        rest = &tag[end + 2..];
    }
    out.push_str(rest);
    (out, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_become_filters_with_their_whitespace_control() {
        let source =
            "a {%- generation -%} b {%endgeneration%} {%+ if x %}{% endif %} {% generation";
        let expected =
            "a {%- filter __generation -%} b {% endfilter %} {%+ if x %}{% endif %} {% generation";
        assert_eq!(with_generation_filter(source), (expected.to_owned(), true));
        assert!(!with_generation_filter("{% set generation = 1 %}").1);
    }
}
