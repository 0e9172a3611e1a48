//! Whether adapter folders are whole, and whether they suit a model, with every problem in one report.

mod model;
mod reading;
mod verdict;

use std::path::Path;

use peft_core::file::FileError;
use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_models::ModelConfig;

use model::ModelSites;
use reading::Base;
pub use verdict::Verdict;

use crate::Result;

/// What adapters are checked against.
#[derive(Debug)]
pub struct Against(Model);

#[derive(Debug)]
enum Model {
    /// A model with its weights.
    Folder(Box<Base>),
    /// The layers that a configuration describes.
    Config(ModelSites),
}

impl Against {
    /// A model's folder: adapters are loaded into it, asked and merged. Where it holds config.json alone, layers and their sizes are
    /// compared.
    ///
    /// # Errors
    /// A configuration or weights that cannot be read.
    pub fn model(dir: &Path) -> Result<Self> {
        let config = ModelConfig::read(dir)?;
        Ok(Self(match Base::new(dir)? {
            Some(base) => Model::Folder(Box::new(base)),
            None => Model::Config(ModelSites::of(config)?),
        }))
    }

    /// A model's config.json, wherever it lies.
    ///
    /// # Errors
    /// A file that cannot be read, or is no configuration of a model that is known here.
    pub fn config(path: &Path) -> Result<Self> {
        let text = read_plain_text(path, CONFIG_LIMIT)
            .map_err(FileError::io("read the model configuration", path))?;
        let config = ModelConfig::parse(path, &text)?;
        Ok(Self(Model::Config(ModelSites::of(config)?)))
    }
}
