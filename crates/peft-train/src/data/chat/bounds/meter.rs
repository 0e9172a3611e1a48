//! What one rendering has made and looked through so far, and how large a value is.
//!
//! A template comes with a model and may be hostile. Whatever builds or walks a value pays here first, so that the
//! sum over a rendering is bounded: values are shared and never shrink, so what is held is at most what was made.

use std::time::{Duration, Instant};

use minijinja::value::{DynObject, ObjectRepr, ValueKind};
use minijinja::{AutoEscape, Error, ErrorKind, State, Value};
use peft_core::file::input::{TEMPLATE_MEMORY_LIMIT, TEMPLATE_TIME_LIMIT};

/// Bytes that one rendering may write.
pub(in crate::data::chat) const OUTPUT: usize = 64 << 20;
/// Bytes of one text that is made; more could not be written either.
pub(in crate::data::chat) const TEXT: usize = OUTPUT;
/// Bytes that one rendering may look through, all passes together; an item counts as some.
const WORK: usize = 2 << 30;
/// Looks at the counts from one look at the clock to the next.
const CLOCK: usize = 32;
/// What going on to the next item of a value counts as.
const NODE: usize = 64;
/// Lists and mappings inside of one another; dropping and writing them recurses.
const DEPTH: usize = 200;
/// What an item of a list counts as.
pub(in crate::data::chat) const ITEM: usize = 48;

/// The counts of one rendering.
pub(in crate::data::chat) struct Meter {
    made: usize,
    work: usize,
    calls: usize,
    since: Instant,
    /// Bytes that it may make, all its texts and lists together.
    most_made: usize,
    /// Time that it may take, for what the counts do not see.
    most_time: Duration,
}

impl Meter {
    pub(in crate::data::chat) fn of<'s>(state: &'s mut State) -> &'s mut Self {
        state.get_or_insert_extension_with(Self::new)
    }

    fn new() -> Self {
        Self {
            made: 0,
            work: 0,
            calls: 0,
            since: Instant::now(),
            most_made: usize::try_from(TEMPLATE_MEMORY_LIMIT.get()).unwrap_or(usize::MAX),
            most_time: Duration::from_secs(TEMPLATE_TIME_LIMIT.get()),
        }
    }

    /// Pays for looking through so many bytes.
    pub(in crate::data::chat) fn work(&mut self, bytes: usize) -> Result<(), Error> {
        self.work = self.work.saturating_add(bytes);
        if self.work > WORK {
            return Err(refused(format!(
                "the template looks through more than {WORK} bytes"
            )));
        }
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(CLOCK) && self.since.elapsed() > self.most_time {
            return Err(refused(format!(
                "the template takes more than {} seconds; {}",
                self.most_time.as_secs(),
                TEMPLATE_TIME_LIMIT.way_out(self.most_time.as_secs())
            )));
        }
        Ok(())
    }

    /// Pays for making so many bytes.
    pub(in crate::data::chat) fn made(&mut self, bytes: usize) -> Result<(), Error> {
        self.made = self.made.saturating_add(bytes);
        if self.made > self.most_made {
            return Err(refused(format!(
                "the template makes more than {} bytes of texts and lists; {}",
                self.most_made,
                TEMPLATE_MEMORY_LIMIT.way_out(self.most_made as u64)
            )));
        }
        self.work(bytes)
    }

    /// Pays for one text.
    pub(in crate::data::chat) fn text(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes > TEXT {
            return Err(too_long());
        }
        self.made(bytes)
    }

    /// Pays for starting to go through a value, or finding an item of it by number.
    pub(in crate::data::chat) fn seen(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::String => self.deep(value).map(|_| ()),
            ValueKind::Iterable => {
                let count = items(value);
                self.work(count.saturating_mul(NODE))
            }
            _ => Ok(()),
        }
    }

    /// The bytes that a value has when it is written, at most; pays for the walk.
    pub(in crate::data::chat) fn deep(&mut self, value: &Value) -> Result<usize, Error> {
        if let Some(text) = value.as_str() {
            if text.len() > TEXT {
                return Err(too_long());
            }
            self.work(NODE + text.len())?;
            return Ok(text.len());
        }
        self.walk(value, 0)
    }

    fn walk(&mut self, value: &Value, depth: usize) -> Result<usize, Error> {
        if depth > DEPTH {
            return Err(refused(format!(
                "the template nests values more than {DEPTH} deep"
            )));
        }
        if depth > 0 {
            may_be_kept(value)?;
        }
        let Some(object) = value.as_object() else {
            let bytes = leaf(value);
            self.work(NODE + bytes)?;
            return Ok(bytes);
        };
        self.work(NODE)?;
        let mut bytes = 64_usize;
        if object.repr() == ObjectRepr::Map {
            for (key, value) in object.try_iter_pairs().into_iter().flatten() {
                let pair = self
                    .walk(&key, depth + 1)?
                    .saturating_add(self.walk(&value, depth + 1)?);
                bytes = bytes.saturating_add(pair).saturating_add(4);
            }
        } else {
            for item in object.try_iter().into_iter().flatten() {
                bytes = bytes
                    .saturating_add(self.walk(&item, depth + 1)?)
                    .saturating_add(2);
            }
        }
        Ok(bytes)
    }
}

/// The text that a value is, if it is one.
pub(in crate::data::chat) fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// The bytes of a value without items, written inside of a list.
fn leaf(value: &Value) -> usize {
    if let Some(text) = value.as_str() {
        // `\u{10ffff}` is the longest escape of a sign, `\u{1}` of one byte.
        return 6 * text.len() + 2;
    }
    if let Some(bytes) = value.as_bytes() {
        return 6 * bytes.len() + 3;
    }
    // The largest float has 309 digits, the smallest 326.
    if value.is_number() && !value.is_integer() {
        360
    } else {
        48
    }
}

/// How many items it has; a text has its signs.
pub(in crate::data::chat) fn items(value: &Value) -> usize {
    match value.as_str() {
        Some(text) => text.len(),
        None => value
            .len()
            .unwrap_or_else(|| value.try_iter().map_or(0, Iterator::count)),
    }
}

fn is_a(object: &DynObject, name: &str) -> bool {
    object.type_name().rsplit("::").next() == Some(name)
}

/// Namespaces and loops change or hold what they go through: inside of other values they could form rings and endless
/// chains, which nothing can be sure to print or drop.
pub(in crate::data::chat) fn may_be_kept(value: &Value) -> Result<(), Error> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    for (name, what) in [("Namespace", "a namespace"), ("Loop", "a loop")] {
        if is_a(object, name) {
            return Err(refused(format!(
                "the template puts {what} into another value"
            )));
        }
    }
    Ok(())
}

/// Pays for a value that was just made; what is lazy becomes a list behind the same face, so that laziness never nests.
pub(in crate::data::chat) fn made(state: &mut State, value: Value) -> Result<Value, Error> {
    let meter = Meter::of(state);
    match value.kind() {
        ValueKind::String => meter.text(text_of(&value).len())?,
        ValueKind::Iterable => return flat(meter, &value),
        ValueKind::Seq | ValueKind::Map => {
            meter.made(128 + items(&value).saturating_mul(ITEM))?;
            meter.deep(&value)?;
        }
        _ => {}
    }
    Ok(value)
}

fn flat(meter: &mut Meter, value: &Value) -> Result<Value, Error> {
    let length = value.len();
    meter.made(
        length
            .unwrap_or(0)
            .saturating_mul(ITEM / 2)
            .saturating_add(128),
    )?;
    let mut held = Vec::with_capacity(length.unwrap_or(0));
    for item in value.try_iter()? {
        if length.is_none() {
            meter.made(ITEM)?;
        }
        held.push(item);
    }
    if length.is_some() {
        return Ok(Value::make_object_iterable(held, |held| {
            Box::new(held.iter().cloned())
        }));
    }
    // One without a known length stays one.
    Ok(Value::make_object_iterable(held, |held| {
        Box::new(held.iter().filter(|_| true).cloned())
    }))
}

/// How many times its length a text may have once it is escaped.
pub(in crate::data::chat) fn escapes(state: &State) -> usize {
    if *state.auto_escape() == AutoEscape::None {
        1
    } else {
        6
    }
}

fn too_long() -> Error {
    refused(format!(
        "the template makes a text of more than {TEXT} bytes"
    ))
}

pub(in crate::data::chat) fn refused(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::Environment;

    #[test]
    fn counts_add_up_to_their_bounds() {
        let mut meter = Meter::new();
        assert!(meter.text(TEXT + 1).is_err());
        assert!((0..6).all(|_| meter.text(TEXT).is_ok()) && meter.text(1).is_err());
        meter.made = 0;
        assert!(meter.made(1).is_ok() && meter.work(WORK).is_err());
        let mut late = Meter::new();
        late.since = late.since.checked_sub(late.most_time).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        assert!((0..CLOCK).any(|_| late.work(0).is_err()));
    }

    #[test]
    fn written_values_are_no_longer_than_foretold() {
        let environment = Environment::new();
        let values = [
            "1e308",
            "5e-324",
            "['\\u0001\"', 'é', none, true]",
            "{'a': {'b': [1, (2, 3), -4]}}",
            "range(7)[::-1]",
            "[undefined]",
        ];
        for text in values {
            let value = environment
                .compile_expression(text)
                .and_then(|value| value.eval(()))
                .unwrap_or_default();
            let foretold = Meter::new().deep(&value).unwrap_or(0);
            assert!(
                value.to_string().len() <= foretold && foretold < 1000,
                "{text}: {foretold}"
            );
        }
    }

    #[test]
    fn deep_values_and_ones_that_double_are_refused() {
        let nested =
            |count: usize| (0..count).fold(Value::from(1), |value, _| Value::from(vec![value]));
        assert!(
            Meter::new().deep(&nested(DEPTH)).is_ok()
                && Meter::new().deep(&nested(DEPTH + 1)).is_err()
        );
        let doubled = (0..40).fold(Value::from(1), |value, _| {
            Value::from(vec![value.clone(), value])
        });
        assert!(Meter::new().deep(&doubled).is_err());
    }
}
