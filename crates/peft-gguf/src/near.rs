//! Near misses of names.

/// How alike two names must be, from 0 to 1.
const ALIKE: f64 = 0.85;

/// The name that is most like this one, where one is.
pub(crate) fn near<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Option<String> {
    let scored = all.map(|other| (strsim::jaro_winkler(name, other), other));
    let (likeness, near) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > ALIKE).then(|| near.to_owned())
}
