//! The module `engine` of programs without the feature `chat`: templates can be found and carried on, not followed.

use std::path::Path;

use serde_json::{Map, Value};

use crate::TrainError;

/// A date, as it is written.
pub(super) type Date = String;

/// A template that nobody follows.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) generates: bool,
}

impl Program {
    pub(super) fn new(_source: &str) -> Self {
        Self { generates: false }
    }

    /// Refuses every conversation.
    pub(super) fn run(
        &self,
        path: &Path,
        _seen: Map<String, Value>,
        _today: Option<&Date>,
    ) -> Result<String, TrainError> {
        Err(TrainError::WithoutFeature {
            path: path.to_path_buf(),
            feature: "chat",
            purpose: "follows chat templates",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_the_feature() {
        let run =
            Program::new("{{ messages }}").run(Path::new("chat_template.jinja"), Map::new(), None);
        let error = run.map_or_else(|e| e.to_string(), |text| text);
        assert!(
            error.contains("chat_template.jinja") && error.contains("`chat`"),
            "{error}"
        );
    }
}
