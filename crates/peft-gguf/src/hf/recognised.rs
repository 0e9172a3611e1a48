//! Which architecture a model is of.

use super::{Architecture, HfError};
use crate::near::near;
use crate::{GgufError, GgufModel};

/// The key of the architecture's name.
const KEY: &str = "general.architecture";

impl Architecture {
    /// The architecture of a model.
    ///
    /// # Errors
    ///
    /// [`HfError::Gguf`] where the model names none, [`HfError::Architecture`] where it names another one.
    pub fn of(model: &GgufModel) -> Result<Self, HfError> {
        let path = model.path();
        let name = model
            .metadata()
            .text(KEY)
            .map_err(|source| GgufError::Metadata {
                path: path.to_owned(),
                source,
            })?;
        Self::from_name(name).ok_or_else(|| HfError::Architecture {
            path: path.to_owned(),
            found: name.to_owned(),
            near: near(name, Self::ALL.into_iter().map(Self::name)),
        })
    }
}
