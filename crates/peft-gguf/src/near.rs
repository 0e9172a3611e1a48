//! Near misses of names.

/// How alike two names must be, from 0 to 1.
const ALIKE: f64 = 0.85;

/// The name that is most like this one, where one is.
pub(crate) fn near<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Option<String> {
    peft_format::near(name, all, ALIKE).map(str::to_owned)
}
