//! Python regular expressions on module paths, and the two look-ups that are not target selection.

use fancy_regex::Regex;
use indexmap::IndexMap;

use super::TargetError;

/// A compiled pattern that remembers where it came from.
#[derive(Debug)]
pub(super) struct Pattern {
    field: &'static str,
    source: String,
    regex: Regex,
}

impl Pattern {
    /// `re.fullmatch(pattern, path)`.
    pub(super) fn full(field: &'static str, pattern: &str) -> Result<Self, TargetError> {
        Self::compile(field, pattern, &format!(r"\A(?:{pattern})\z"))
    }

    /// `re.match(template, path)` where the template contains the user's pattern.
    pub(super) fn prefix(
        field: &'static str,
        pattern: &str,
        template: &str,
    ) -> Result<Self, TargetError> {
        Self::compile(field, pattern, &format!(r"\A(?:{template})"))
    }

    fn compile(field: &'static str, pattern: &str, whole: &str) -> Result<Self, TargetError> {
        match Regex::new(whole) {
            Ok(regex) => Ok(Self {
                field,
                source: pattern.to_owned(),
                regex,
            }),
            Err(source) => Err(TargetError::BadPattern {
                field,
                pattern: pattern.to_owned(),
                source: Box::new(source),
            }),
        }
    }

    pub(super) fn is_match(&self, path: &str) -> Result<bool, TargetError> {
        self.regex
            .is_match(path)
            .map_err(|source| self.too_slow(path, source))
    }

    /// The text of the last group if the pattern matches. Outer `None`: no match.
    pub(super) fn last_group<'t>(
        &self,
        path: &'t str,
    ) -> Result<Option<Option<&'t str>>, TargetError> {
        let captures = self
            .regex
            .captures(path)
            .map_err(|source| self.too_slow(path, source))?;
        Ok(captures.map(|groups| groups.get(groups.len() - 1).map(|group| group.as_str())))
    }

    fn too_slow(&self, path: &str, source: fancy_regex::Error) -> TargetError {
        TargetError::PatternTooSlow {
            field: self.field,
            pattern: self.source.clone(),
            path: path.to_owned(),
            source: Box::new(source),
        }
    }
}

/// Whether a Python regular expression matches the whole of `path`; `field` names it in errors.
///
/// # Errors
/// [`TargetError::BadPattern`] and [`TargetError::PatternTooSlow`].
pub fn matches_whole(field: &'static str, pattern: &str, path: &str) -> Result<bool, TargetError> {
    Pattern::full(field, pattern)?.is_match(path)
}

fn key_pattern(key: &str) -> Result<Pattern, TargetError> {
    let template = format!(r"(.*\.)?({key})\z");
    Pattern::prefix("rank_pattern/alpha_pattern", key, &template)
}

/// Whether a key of names and dots matches; `None` for any other key. It says what the regex would say, in which a
/// dot is any character: published patterns have hundreds of such keys, and compiling each for every layer of a large
/// model takes minutes.
fn plain_match(key: &str, path: &str) -> Option<bool> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if !key.bytes().all(plain) || path.contains('\n') {
        return None;
    }
    let mut rest = path.chars().rev();
    let ends_alike = key.chars().rev().all(|expected| {
        rest.next()
            .is_some_and(|found| expected == '.' || expected == found)
    });
    Some(ends_alike && rest.next().is_none_or(|before| before == '.'))
}

/// The value of the first key `K`, in the order of the map, with Python's `re.match("(.*\.)?(K)$", path)`.
///
/// This is how PEFT reads `rank_pattern` and `alpha_pattern`: a key may be a role, a path or a regex, and `^` in
/// a key anchors it at the start of the path.
///
/// # Errors
///
/// A key that is no valid regex, or one that backtracks too long.
pub fn pattern_value<'a, V>(
    patterns: &'a IndexMap<String, V>,
    path: &str,
) -> Result<Option<&'a V>, TargetError> {
    for (key, value) in patterns {
        let matches = match plain_match(key, path) {
            Some(matches) => matches,
            None => key_pattern(key)?.is_match(path)?,
        };
        if matches {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Whether `modules_to_save` makes a full trained copy of the module at `path`.
///
/// PEFT compares with a plain "ends with", without a dot boundary: `score` also takes `my_score`.
pub fn is_saved_module<S: AsRef<str>>(path: &str, names: &[S]) -> bool {
    names.iter().any(|name| path.ends_with(name.as_ref()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_matching_key_wins_in_map_order() {
        let patterns = IndexMap::from([
            ("proj".to_owned(), 1),
            (".*_proj".to_owned(), 2),
            ("q_proj".to_owned(), 3),
        ]);
        let value = |path| pattern_value(&patterns, path).unwrap().copied();
        assert_eq!(value("model.layers.0.q_proj"), Some(2));
        assert_eq!(value("a.proj"), Some(1));
        assert_eq!(value("a.projx"), None);
    }

    #[test]
    fn a_bad_key_is_named() {
        let patterns = IndexMap::from([("(".to_owned(), 1)]);
        let error = pattern_value(&patterns, "x").unwrap_err();
        assert!(
            matches!(&error, TargetError::BadPattern { pattern, .. } if pattern == "("),
            "{error}"
        );
    }

    #[test]
    fn catastrophic_backtracking_is_an_error_and_not_a_hang() {
        // The back-reference keeps the pattern out of the linear-time engine.
        let pattern = Pattern::full("target_modules", r"((a+)+)+\2\2b").unwrap();
        let error = pattern.is_match(&"a".repeat(60)).unwrap_err();
        assert!(
            matches!(error, TargetError::PatternTooSlow { .. }),
            "{error}"
        );
    }

    #[test]
    fn saved_modules_are_matched_without_a_dot_boundary() {
        assert!(is_saved_module("my_score", &["score"]));
        assert!(is_saved_module("classifier", &["score", "classifier"]));
        assert!(!is_saved_module("classifier.dense", &["classifier"]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_plain_key_matches_exactly_what_its_regex_matches(
            key in "[ab_.-]{0,5}", path in "[ab_.é-]{0,8}",
        ) {
            let by_regex = key_pattern(&key).unwrap().is_match(&path).unwrap();
            prop_assert_eq!(plain_match(&key, &path), Some(by_regex));
        }
    }

    #[test]
    fn keys_with_the_marks_of_a_regex_are_left_to_it() {
        for key in [
            "^q", "q$", "(q|v)", "q*", "[qv]", r"\d", "q+", "q?", "q{2}", "é",
        ] {
            assert_eq!(plain_match(key, "a.q"), None, "{key}");
        }
    }
}
