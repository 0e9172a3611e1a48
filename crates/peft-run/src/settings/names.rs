//! Modules by name, as a flag and as a setting has them.

use peft_core::target::{ALL_LINEAR, Target};
use serde::{Deserialize, Serialize};

/// One text (a regex, or `all-linear`) or a list of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// A regular expression, or `all-linear`.
    Text(String),
    /// Names or suffixes of module paths.
    List(Vec<String>),
}

impl Names {
    /// `all-linear` and `/regex/` are one text, anything else a list of names, comma-separated.
    pub fn of_flag(value: &str) -> Self {
        if value.eq_ignore_ascii_case(ALL_LINEAR) {
            return Self::Text(value.into());
        }
        let regex = value
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        match regex {
            Some(regex) => Self::Text(regex.into()),
            None => Self::List(value.split(',').map(|name| name.trim().into()).collect()),
        }
    }

    /// The modules that they name.
    pub fn target(&self) -> Target {
        match self {
            Self::List(names) => Target::List(names.clone()),
            Self::Text(text) => Target::from_text(text),
        }
    }
}
