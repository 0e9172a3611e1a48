//! Targets: which sites of a model are adapted, by exactly the rules of Hugging Face PEFT 0.21.
//!
//! Order of the rules, for a site with path `P`:
//! 1. `P` is dropped if `exclude_modules` matches it, or if a name of `modules_to_save` is one of its segments.
//! 2. A list entry `E` selects `P` if `P == E` or `P` ends with `.E`. A regex must match all of `P`.
//! 3. `layers_to_transform` keeps the sites whose first layer index is in the set. An entry that equals the
//!    whole path is kept whatever its layer is, as in PEFT.
//!
//! Patterns are Python `re` patterns, run by `fancy-regex`: look-around and back-references work. Two things are
//! written differently in Python and are refused or read otherwise here: a literal `{` must be escaped, and
//! `&&`, `--`, `~~` or `[` inside a character class are set operations.

mod error;
mod expand;
mod pattern;
mod select;

pub use error::{NoMatch, TargetError, UnmatchedTarget};
pub use expand::{expand_all_linear, minimal_suffixes};
pub use pattern::{is_saved_module, matches_whole, pattern_value};
pub use select::Selection;

/// The word that selects every linear layer except the output heads.
pub const ALL_LINEAR: &str = "all-linear";

/// Which modules a method adapts (`target_modules`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Full paths or dotted suffixes of paths.
    List(Vec<String>),
    /// A Python regular expression that must match the whole path.
    Regex(String),
    /// Every linear layer except the output heads (`all-linear`, in any case).
    AllLinear,
}

impl Target {
    /// Reads a string as PEFT does: `all-linear` in any case, otherwise a regular expression.
    pub fn from_text(text: &str) -> Self {
        if text.to_lowercase() == ALL_LINEAR {
            Self::AllLinear
        } else {
            Self::Regex(text.to_owned())
        }
    }
}

/// A set of modules given by a list or a regular expression (`exclude_modules`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Full paths or dotted suffixes of paths.
    List(Vec<String>),
    /// A Python regular expression that must match the whole path.
    Regex(String),
}

/// Everything that decides which sites are adapted, apart from `modules_to_save`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRules {
    /// `target_modules`.
    pub target: Target,
    /// `exclude_modules`; wins over the target.
    pub exclude: Option<Selector>,
    /// `layers_to_transform`: layer indices to keep; `None` and an empty list keep all.
    pub layers_to_transform: Option<Vec<usize>>,
    /// `layers_pattern`: names (regular expressions) of the list of layers, such as `layers` or `h`.
    pub layers_pattern: Vec<String>,
}

impl TargetRules {
    /// Rules with a target and nothing else.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            exclude: None,
            layers_to_transform: None,
            layers_pattern: Vec::new(),
        }
    }

    /// Rules for a list of names.
    pub fn list<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::new(Target::List(names.into_iter().map(Into::into).collect()))
    }

    /// Refuses the combinations that PEFT refuses.
    ///
    /// # Errors
    ///
    /// [`TargetError::IllegalRules`] naming every illegal combination.
    pub fn check(&self) -> Result<(), TargetError> {
        let mut problems = Vec::new();
        if !matches!(self.target, Target::List(_)) {
            if self.layers_to_transform.is_some() {
                problems.push(
                    "layers_to_transform needs a list in target_modules, not a regex or all-linear",
                );
            }
            if !self.layers_pattern.is_empty() {
                problems.push(
                    "layers_pattern needs a list in target_modules, not a regex or all-linear",
                );
            }
        }
        if !self.layers_pattern.is_empty() && self.layers_to_transform.is_none() {
            problems.push("layers_pattern needs layers_to_transform");
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(TargetError::IllegalRules { problems })
        }
    }
}
