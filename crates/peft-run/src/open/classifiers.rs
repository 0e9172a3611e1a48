//! The kinds of classifiers, and how each is loaded.

use std::path::Path;

use burn::tensor::Device;
use peft_models::hf::HeadLabels;
use peft_models::{
    DecoderClassifier, ImageClassifier, Loaded, ModelConfig, ModelError, SequenceClassifier,
    load_classifier_with, load_decoder_classifier, load_image_classifier_with,
};
use peft_train::task::Classifier;

/// A classifier that can be opened from a folder.
pub trait OpenClassifier: Classifier {
    /// Loads the folder with this configuration; the head gets the outputs that are asked for.
    ///
    /// # Errors
    /// When the folder is no model that can be read.
    fn load(
        config: ModelConfig,
        dir: &Path,
        head: HeadLabels,
        seed: u64,
        device: &Device,
    ) -> Result<Loaded<Self>, ModelError>;

    /// Modules that are trained and saved with an adapter: the head, and what starts afresh with it.
    fn head_modules(loaded: &Loaded<Self>) -> Vec<String>;
}

impl OpenClassifier for SequenceClassifier {
    fn load(
        config: ModelConfig,
        dir: &Path,
        head: HeadLabels,
        seed: u64,
        device: &Device,
    ) -> Result<Loaded<Self>, ModelError> {
        load_classifier_with(config, dir, head, seed, device)
    }

    fn head_modules(loaded: &Loaded<Self>) -> Vec<String> {
        loaded.head_modules()
    }
}

impl OpenClassifier for DecoderClassifier {
    fn load(
        config: ModelConfig,
        dir: &Path,
        head: HeadLabels,
        seed: u64,
        device: &Device,
    ) -> Result<Loaded<Self>, ModelError> {
        load_decoder_classifier(config, dir, head, seed, device)
    }

    fn head_modules(_loaded: &Loaded<Self>) -> Vec<String> {
        vec![Self::HEAD.to_owned()]
    }
}

impl OpenClassifier for ImageClassifier {
    fn load(
        config: ModelConfig,
        dir: &Path,
        head: HeadLabels,
        seed: u64,
        device: &Device,
    ) -> Result<Loaded<Self>, ModelError> {
        load_image_classifier_with(config, dir, head, seed, device)
    }

    fn head_modules(_loaded: &Loaded<Self>) -> Vec<String> {
        vec![Self::HEAD.to_owned()]
    }
}
