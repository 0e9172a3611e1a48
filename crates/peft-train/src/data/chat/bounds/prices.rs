//! What the built-ins of the template engine cost, predicted from what they are given.
//!
//! Templates come with models: what would be too much is refused before it is made. The value comes first among the
//! arguments, as it does in a call of a filter.

use minijinja::value::{DynObject, ValueKind};
use minijinja::{Error, State, Value};

use super::meter::{ITEM, Meter, escapes, items, refused, text_of};

/// Items that `slice`, and `batch` with a filler, may make out of none.
const ROWS: usize = 100_000;

pub(in crate::data::chat) fn value(given: &[Value]) -> Value {
    given.first().cloned().unwrap_or_default()
}

/// The bytes of texts among the arguments behind the value, named ones included.
pub(in crate::data::chat) fn words(given: &[Value]) -> usize {
    let named = given
        .iter()
        .skip(1)
        .filter(|value| value.is_kwargs())
        .filter_map(Value::as_object);
    let named = named
        .filter_map(DynObject::try_iter_pairs)
        .flatten()
        .map(|(_, value)| text_of(&value).len());
    named.sum::<usize>()
        + given
            .iter()
            .skip(1)
            .map(|value| text_of(value).len())
            .sum::<usize>()
}

/// Goes through all arguments.
pub(in crate::data::chat) fn all(state: &mut State, given: &[Value]) -> Result<(), Error> {
    given
        .iter()
        .try_for_each(|value| Meter::of(state).deep(value).map(|_| ()))
}

pub(in crate::data::chat) fn seen(state: &mut State, given: &[Value]) -> Result<(), Error> {
    Meter::of(state).seen(&value(given))?;
    all(state, given.get(1..).unwrap_or_default())
}

/// Writes the value, so many times as long at most.
pub(in crate::data::chat) fn written(
    state: &mut State,
    given: &[Value],
    times: usize,
) -> Result<(), Error> {
    let bytes = Meter::of(state).deep(&value(given))?;
    Meter::of(state).text(bytes.saturating_mul(times))
}

pub(in crate::data::chat) fn trimmed(state: &mut State, given: &[Value]) -> Result<(), Error> {
    let signs = words(given);
    Meter::of(state).made(signs.saturating_mul(4))?;
    written(state, given, 1)?;
    let bytes = text_of(&value(given)).len();
    Meter::of(state).work(bytes.saturating_mul(signs))
}

pub(in crate::data::chat) fn replaced(state: &mut State, given: &[Value]) -> Result<(), Error> {
    for value in given.iter().take(3) {
        let bytes = Meter::of(state).deep(value)?;
        // What is no text is written first.
        Meter::of(state).text(if value.as_str().is_some() { 0 } else { bytes })?;
    }
    let text = |at: usize| given.get(at).and_then(Value::to_str).unwrap_or_default();
    let (whole, old, new) = (text(0), text(1), text(2));
    let count = whole.matches(&*old).count();
    let bytes = whole.len().saturating_add(count.saturating_mul(new.len()));
    let bytes = bytes.saturating_mul(escapes(state));
    Meter::of(state).text(bytes)
}

pub(in crate::data::chat) fn joined(state: &mut State, given: &[Value]) -> Result<(), Error> {
    let list = value(given);
    let (mut bytes, mut count) = (0_usize, 0_usize);
    for item in list.try_iter().into_iter().flatten() {
        bytes = bytes.saturating_add(Meter::of(state).deep(&item)?);
        count += 1;
    }
    let joints = count.saturating_mul(words(given));
    let bytes = bytes.saturating_add(joints).saturating_mul(escapes(state));
    Meter::of(state).text(bytes)
}

/// The pieces of a text: each is a value of its own.
pub(in crate::data::chat) fn pieces(state: &mut State, given: &[Value]) -> Result<(), Error> {
    all(state, given)?;
    let text = value(given);
    let text = text_of(&text);
    let count = match given.get(1).and_then(Value::as_str) {
        Some(between) => text.matches(between).count() + 1,
        None => text.split_whitespace().count(),
    };
    Meter::of(state).made(text.len().saturating_add(count.saturating_mul(2 * ITEM)))
}

pub(in crate::data::chat) fn listed(state: &mut State, given: &[Value]) -> Result<(), Error> {
    all(state, given.get(1..).unwrap_or_default())?;
    let count = items(&value(given));
    // A path of names is gone through for every item.
    Meter::of(state).work(count.saturating_mul(words(given)))?;
    Meter::of(state).made(count.saturating_mul(ITEM).saturating_add(128))
}

pub(in crate::data::chat) fn cut(state: &mut State, given: &[Value]) -> Result<(), Error> {
    let rows = given.get(1).and_then(Value::as_usize).unwrap_or(0);
    if rows > ROWS {
        return Err(refused(format!(
            "the template cuts a list into more than {ROWS} parts"
        )));
    }
    Meter::of(state).made(rows.saturating_mul(2 * ITEM))?;
    // Each part is a list with room for some items.
    Meter::of(state).made(items(&value(given)).saturating_mul(3 * ITEM))?;
    listed(state, given)
}

pub(in crate::data::chat) fn ordered(state: &mut State, given: &[Value]) -> Result<(), Error> {
    let list = value(given);
    let (bytes, count) = (Meter::of(state).deep(&list)?, items(&list));
    let rounds = 2 * (usize::BITS - count.leading_zeros()) as usize;
    let keys = count.saturating_mul(words(given));
    Meter::of(state).work(bytes.saturating_mul(rounds).saturating_add(keys))?;
    // Keys without upper case are copies.
    Meter::of(state).made(bytes)?;
    listed(state, given)
}

pub(in crate::data::chat) fn summed(state: &mut State, given: &[Value]) -> Result<(), Error> {
    let list = value(given);
    let (bytes, count) = (Meter::of(state).deep(&list)?, items(&list));
    all(state, given.get(1..).unwrap_or_default())?;
    // A sum of texts or lists is made anew with every item.
    let of_numbers = given.len() < 2;
    Meter::of(state).made(if of_numbers {
        0
    } else {
        bytes.saturating_mul(count)
    })?;
    Meter::of(state).work(count.saturating_mul(words(given)))
}

pub(in crate::data::chat) fn gathered(state: &mut State, arguments: &[Value]) -> Result<(), Error> {
    let count: usize = arguments
        .iter()
        .filter(|value| value.kind() == ValueKind::Map)
        .map(items)
        .sum();
    Meter::of(state).made(256 + count.saturating_mul(4 * ITEM))
}
