//! The files of a model folder.

use serde_json::{Map, Value as Json};

/// The files of a model folder that the metadata are made of.
#[derive(Clone, Copy, Debug)]
pub struct HfFiles<'a> {
    /// `config.json`.
    pub config: &'a Map<String, Json>,
    /// `tokenizer.json`.
    pub tokenizer: &'a Json,
    /// `tokenizer_config.json`.
    pub about_tokenizer: &'a Map<String, Json>,
    /// The chat template, where it is in a file of its own.
    pub template: Option<&'a str>,
}
