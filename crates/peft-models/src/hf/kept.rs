//! What the weights of a model are to be kept in, which goes along with its configuration.

use super::config::ModelConfig;
use crate::packed::Storage;

impl ModelConfig {
    /// What the weights of the model are to be kept in; no field of the file.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// The same configuration for a model whose weights are kept so.
    #[must_use]
    pub fn with_storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }
}
