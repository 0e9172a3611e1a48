//! How the matrices of a model are to be read, which goes along with its configuration.

use super::config::ModelConfig;
use crate::packed::Kept;

impl ModelConfig {
    /// How the matrices of the model are to be read; no field of the file.
    #[must_use]
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// The same configuration for a model whose matrices are read so.
    #[must_use]
    pub fn keeping(mut self, kept: impl Into<Kept>) -> Self {
        self.kept = kept.into();
        self
    }
}
