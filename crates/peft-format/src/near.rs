//! Near misses of names.

/// The name that is most like this one, by the similarity of Jaro and Winkler, where one is more alike than `least` (0 to 1).
#[must_use]
pub fn near<'a>(name: &str, all: impl Iterator<Item = &'a str>, least: f64) -> Option<&'a str> {
    let scored = all.map(|other| (strsim::jaro_winkler(name, other), other));
    let (likeness, near) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > least).then_some(near)
}
