//! The template engine, set up as `transformers` sets up its own.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Zoned;
pub(super) use jiff::civil::Date;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, State};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::python_json::PythonJson;
use super::bounds::{guard, limits, meter};
use super::marks;
use crate::TrainError;

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

    /// What it writes; errors name the file `path`.
    pub(super) fn run(
        &self,
        path: &Path,
        seen: Map<String, Value>,
        today: Option<&Date>,
    ) -> Result<String, TrainError> {
        let text = self.written(seen, today);
        text.map_err(|error| TrainError::Template {
            path: path.to_path_buf(),
            message: format!("{error:#}"),
        })
    }

    fn written(&self, mut seen: Map<String, Value>, today: Option<&Date>) -> Result<String, Error> {
        let environment = self.environment()?;
        let template = environment.get_template(NAME)?;
        if let Some(today) = today {
            seen.insert(TODAY.into(), today.to_string().into());
        }
        let mut text = limits::Bounded::default();
        let seen = minijinja::Value::from(Serde(&seen));
        limits::caught(|| template.render_captured_to(seen, &mut text).map(|_| ()))?;
        String::from_utf8(text.0)
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    }

    fn environment(&self) -> Result<&Environment<'static>, Error> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled);
        }
        let mut environment = environment()?;
        limits::check(&self.source)?;
        let environment = limits::with_room(|| {
            let source = guard::guarded(&self.source)?;
            environment.add_template_owned(NAME, source)?;
            Ok(environment)
        })?;
        Ok(self.compiled.get_or_init(|| environment))
    }
}

/// As in `transformers`: blocks take their line, Python's methods of strings are there, and `tojson` writes what Python writes.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(limits::syntax()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    limits::install(&mut environment);
    environment.add_filter("tojson", to_json);
    environment.add_filter(GENERATION, generated);
    environment.add_function("raise_exception", raise);
    environment.add_function("strftime_now", strftime_now);
    Ok(environment)
}

fn generated(state: &mut State, text: minijinja::Value) -> Result<String, Error> {
    limits::shown(state, &text)?;
    Ok(marks::generated(&text.to_string()))
}

fn raise(state: &mut State, message: minijinja::Value) -> Result<String, Error> {
    limits::shown(state, &message)?;
    Err(Error::new(ErrorKind::InvalidOperation, message.to_string()))
}

fn strftime_now(state: &mut State, format: minijinja::Value) -> Result<String, Error> {
    let format = limits::short(state, &format)?;
    let now = Zoned::now().datetime();
    let fixed = state.lookup(TODAY);
    let fixed: Option<Date> = fixed.and_then(|date| date.as_str()?.parse().ok());
    let then = fixed.map_or(now, |date| date.to_datetime(now.time()));
    Ok(then.strftime(&format).to_string())
}

/// `json.dumps(value, ensure_ascii=False)`.
fn to_json(
    state: &mut State,
    value: minijinja::Value,
    options: Kwargs,
) -> Result<minijinja::Value, Error> {
    let broken = |error: String| Error::new(ErrorKind::BadSerialization, error);
    let indent: Option<usize> = options.get("indent")?;
    let indent = indent.map(limits::narrow).transpose()?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(broken("tojson(ensure_ascii=true) is not known here".into()));
    }
    options.assert_all_used()?;
    let mut text = limits::Bounded::default();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, PythonJson::new(indent));
    value
        .serialize(&mut serializer)
        .map_err(|error| broken(error.to_string()))?;
    let text = String::from_utf8(text.0).map_err(|error| broken(error.to_string()))?;
    meter::made(state, minijinja::Value::from(text))
}

/// `{% generation %}`, the tag of `transformers` around answers, as a filter block that this engine knows; whether there is one.
fn with_generation_filter(source: &str) -> (String, bool) {
    let (mut out, mut rest, mut found) = (String::with_capacity(source.len()), source, false);
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        // The sign that opens a tag has no part in closing it.
        let Some(end) = tag[2..].find("%}").map(|end| end + 2) else {
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
        for odd in [
            "{%}",
            "{%}%}",
            "{%-%}",
            "{%+-+%}",
            "{%%}",
            "{%",
            "{%}}{% generation",
        ] {
            assert_eq!(with_generation_filter(odd), (odd.to_owned(), false));
        }
    }
}
