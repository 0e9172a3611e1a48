//! Errors of target selection.

use std::fmt;

/// One entry of a target list that matches no site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedTarget {
    /// The entry as written.
    pub entry: String,
    /// Names of the model that look like it, best first.
    pub near: Vec<String>,
}

impl fmt::Display for UnmatchedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` matches nothing", self.entry)?;
        if !self.near.is_empty() {
            write!(f, " (did you mean {}?)", self.near.join(", "))?;
        }
        Ok(())
    }
}

/// What is known about a target that selects no site at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMatch {
    /// The target as written.
    pub target: String,
    /// The entries that match nothing, with near misses.
    pub unmatched: Vec<UnmatchedTarget>,
    /// Sites that the target matches but another rule drops.
    pub dropped: Vec<String>,
    /// Every role of the model.
    pub roles: Vec<String>,
}

impl fmt::Display for NoMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target_modules {} selects no layer", self.target)?;
        for entry in &self.unmatched {
            write!(f, "; {entry}")?;
        }
        if let Some(first) = self.dropped.first() {
            write!(
                f,
                "; {} matching layers such as `{first}` are dropped by exclude_modules, modules_to_save or \
                 layers_to_transform",
                self.dropped.len()
            )?;
        }
        write!(f, "; roles of this model: {}", self.roles.join(", "))
    }
}

/// Why targets could not be selected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Nothing is left to adapt.
    #[error("{0}")]
    NoMatch(Box<NoMatch>),
    /// Fields that exclude each other.
    #[error("the target rules contradict each other: {}", problems.join("; "))]
    IllegalRules {
        /// Every contradiction found.
        problems: Vec<&'static str>,
    },
    /// A pattern that is not a valid regular expression.
    #[error(
        "{field}: `{pattern}` is not a valid regular expression; correct it or escape special characters"
    )]
    BadPattern {
        /// The configuration field that holds the pattern.
        field: &'static str,
        /// The pattern as written.
        pattern: String,
        /// What the regex compiler says.
        #[source]
        source: Box<fancy_regex::Error>,
    },
    /// A pattern that backtracks too long on a path.
    #[error(
        "{field}: matching `{pattern}` against `{path}` was given up; write it without nested repetition"
    )]
    PatternTooSlow {
        /// The configuration field that holds the pattern.
        field: &'static str,
        /// The pattern as written.
        pattern: String,
        /// The path it was run on.
        path: String,
        /// What the regex engine says.
        #[source]
        source: Box<fancy_regex::Error>,
    },
    /// No list of suffixes selects `path` without also selecting `other`.
    #[error(
        "no list entry selects `{path}` without `{other}`, which ends with it; use a regex as target_modules"
    )]
    NotExpressible {
        /// A selected path.
        path: String,
        /// A path that is not selected and ends with the selected one.
        other: String,
    },
}
