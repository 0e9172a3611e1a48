//! Bounds of what a template may cost: it comes with a model, and nothing says that it ends or fits into memory.
//!
//! The engine counts steps. What a step makes is paid for by the filters here, which `guard` puts around operands, by
//! the built-ins in `bounded`, and by what writes values, all into the `meter` of the rendering.

use std::panic::{AssertUnwindSafe, catch_unwind};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, escape_formatter};

use peft_core::file::input::TEMPLATE_TIME_LIMIT;

use super::bounded;
use super::meter::{self, ITEM, Meter, OUTPUT, escapes, refused};

/// Steps that one rendering may take in a second; long conversations take some ten thousands.
const FUEL: u64 = 4_000_000;
/// Bytes of a template; published ones have up to thirty thousand.
const SOURCE: usize = 1 << 20;
/// Tags of a template: a chain of `elif` nests each in the one before.
const TAGS: usize = 5000;
/// Words and signs in one tag, outside of texts: a chain of operators nests each in the one before.
const SIGNS: usize = 4000;
/// Stack for compiling what these bounds allow.
const STACK: usize = 256 << 20;
/// Spaces that `indent` may put before a line.
const INDENT: usize = 1000;
/// Bytes of the format of a date.
const FORMAT: usize = 1000;

/// Refuses a template that no compiler should be given.
pub(in crate::data::chat) fn check(source: &str) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::new(ErrorKind::SyntaxError, what));
    if source.len() > SOURCE {
        return refuse(format!(
            "the template has {} bytes, at most {SOURCE} are taken",
            source.len()
        ));
    }
    let tags = source.matches("{%").count();
    if tags > TAGS {
        return refuse(format!(
            "the template has {tags} tags, at most {TAGS} are taken"
        ));
    }
    for opening in ["{%", "{{"] {
        let longest = source.split(opening).skip(1).map(signs).max().unwrap_or(0);
        if longest > SIGNS {
            return refuse(format!(
                "a tag of the template has {longest} words and signs, at most {SIGNS} are taken"
            ));
        }
    }
    Ok(())
}

/// Words and signs up to the end of a tag, texts not counted.
fn signs(tag: &str) -> usize {
    let (mut count, mut in_word, mut quote, mut before) = (0, false, None, ' ');
    for sign in tag.chars() {
        match quote {
            Some(_) if before == '\\' => {
                before = ' ';
                continue;
            }
            Some(mark) if sign == mark => quote = None,
            Some(_) => {}
            None if sign == '}' && matches!(before, '%' | '}') => break,
            None if matches!(sign, '"' | '\'') => {
                (quote, in_word) = (Some(sign), false);
                count += 1;
            }
            None if sign.is_alphanumeric() || sign == '_' => {
                count += usize::from(!in_word);
                in_word = true;
            }
            None => {
                count += usize::from(!sign.is_whitespace());
                in_word = false;
            }
        }
        before = sign;
    }
    count
}

/// Runs something that recurses as deep as a template is nested.
pub(in crate::data::chat) fn with_room<T: Send>(
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let failed = |what: &str| Error::new(ErrorKind::InvalidOperation, what.to_owned());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, work);
        let thread = thread
            .map_err(|error| failed(&format!("no thread to compile the template: {error}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(failed("the template cannot be compiled")))
    })
}

/// As in `transformers`: statements take their line.
pub(in crate::data::chat) fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
}

/// Sets all bounds of a rendering.
pub(in crate::data::chat) fn install(environment: &mut Environment) {
    let seconds = TEMPLATE_TIME_LIMIT.get();
    environment.set_fuel(Some(FUEL.saturating_mul(seconds)));
    environment.set_debug(false);
    environment.set_formatter(write);
    bounded::install(environment);
    environment.add_filter("indent", indent);
    environment.add_filter("__part", part);
    environment.add_filter("__made", |state: &mut State, value: Value| {
        meter::made(state, value)
    });
    environment.add_filter("__seen", |state: &mut State, value: Value| {
        Meter::of(state).seen(&value).map(|()| value)
    });
    environment.add_filter("__deep", |state: &mut State, value: Value| {
        Meter::of(state).deep(&value).map(|_| value)
    });
    environment.add_filter("__kept", |value: Value| {
        meter::may_be_kept(&value).map(|()| value)
    });
    environment.add_filter("__sliced", sliced);
    environment.add_filter("__factor", factor);
    environment.add_filter("__text", |state: &mut State, bytes: usize| {
        Meter::of(state).made(bytes).map(|()| "")
    });
}

/// Ends a rendering that the engine breaks off with a panic as any other that fails.
pub(in crate::data::chat) fn caught<T>(
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(refused("the template cannot be rendered".into())))
}

/// Pays for what is written, also into texts that are kept.
fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    shown(state, value)?;
    escape_formatter(out, state, value)
}

/// Pays for writing a value.
pub(in crate::data::chat) fn shown(state: &mut State, value: &Value) -> Result<(), Error> {
    let bytes = Meter::of(state).deep(value)?.saturating_mul(escapes(state));
    Meter::of(state).text(bytes)
}

/// A format of a date, which is short wherever it means something.
pub(in crate::data::chat) fn short(state: &mut State, format: &Value) -> Result<String, Error> {
    if Meter::of(state).deep(format)? > FORMAT {
        return Err(refused(format!(
            "the template formats a date with more than {FORMAT} bytes"
        )));
    }
    Ok(format.to_string())
}

/// An operand that operators which add or join copy `count` times, and write whatever it is if there is a `~`.
fn part(state: &mut State, value: Value, count: usize, writes: bool) -> Result<Value, Error> {
    let meter = Meter::of(state);
    let bytes = match value.kind() {
        ValueKind::Seq | ValueKind::Iterable if !writes => {
            meter::items(&value).saturating_mul(ITEM / 2)
        }
        ValueKind::Number | ValueKind::Bool => return Ok(value),
        _ => meter.deep(&value)?,
    };
    meter.made(bytes.saturating_add(64).saturating_mul(count))?;
    Ok(value)
}

/// What is cut: for a step backwards the engine spreads a text out, four bytes for every sign.
fn sliced(state: &mut State, value: Value) -> Result<Value, Error> {
    let meter = Meter::of(state);
    meter.seen(&value)?;
    meter.made(4 * meter::text_of(&value).len())?;
    Ok(value)
}

/// An operand of `*`. The engine bounds what texts may become, but makes tuples at once, with any length.
fn factor(value: Value) -> Result<Value, Error> {
    if value.is_tuple() {
        return Err(refused("the template multiplies a tuple".into()));
    }
    Ok(value)
}

/// A text that ends with an error before it takes all memory.
#[derive(Default)]
pub(in crate::data::chat) struct Bounded(pub(in crate::data::chat) Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT {
            return Err(std::io::Error::other(format!(
                "the template writes more than {OUTPUT} bytes"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Refuses an indentation that is no style any more.
pub(in crate::data::chat) fn narrow(width: usize) -> Result<usize, Error> {
    if width > INDENT {
        return Err(refused(format!(
            "indent by {width}: at most {INDENT} is taken"
        )));
    }
    Ok(width)
}

/// What `indent` is given.
type Given = (
    String,
    Option<usize>,
    Option<bool>,
    Option<bool>,
    minijinja::value::Kwargs,
);

/// Jinja's filter, which would take any width.
fn indent(state: &mut State, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let given = given.into_values();
    if let Some(text) = given.first() {
        shown(state, text)?;
    }
    let (text, width, first, blank, options): Given = from_args(&given)?;
    let width = narrow(width.or(options.get("width")?).unwrap_or(4))?;
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = blank.or(options.get("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    let lines = text.matches('\n').count() + 1;
    Meter::of(state).text(text.len().saturating_add(lines.saturating_mul(width)))?;
    let space = " ".repeat(width);
    let mut indented = String::with_capacity(text.len() + lines * width);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            indented.push('\n');
        }
        if if at == 0 {
            first
        } else {
            blank || !line.is_empty()
        } {
            indented.push_str(&space);
        }
        indented.push_str(line);
    }
    Ok(indented)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_no_deep_expressions_and_chains_of_operators_are() {
        let text = format!("{{{{ '{}' }}}}", "a - b ".repeat(10_000));
        assert!(check(&text).is_ok());
        let chain = format!("{{{{ {}1 }}}}", "-".repeat(5000));
        assert!(check(&chain).is_err());
        let dots = format!("{{% if x{} %}}{{% endif %}}", ".a".repeat(5000));
        assert!(check(&dots).is_err());
        assert!(check(&"{% if a %}{% endif %}".repeat(3000)).is_err());
        assert!(check(&" ".repeat(SOURCE + 1)).is_err());
        assert_eq!(signs(" a.b | c('x}}y \\' z') }} d"), 9);
    }
}
