//! A model of any kind, for verbs that look at layers and do not ask what the model answers.

use std::path::Path;

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Device;
use peft_core::{Adaptable, AdaptedLinear, Site, TiedOutput};
use peft_models::{
    CausalLm, DecoderClassifier, ImageClassifier, Loaded, ModelConfig, ModelKind,
    SequenceClassifier,
};

use crate::open::{self, OpenClassifier};

/// A classifier of texts or images, or a language model.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a process has one, and a box is no module"
)]
pub enum AnyModel {
    /// An encoder with a classification head.
    Classifier(SequenceClassifier),
    /// A decoder.
    Causal(CausalLm),
    /// A decoder with a classification head.
    DecoderTexts(DecoderClassifier),
    /// A vision transformer with a classification head.
    Images(ImageClassifier),
}

impl Adaptable for AnyModel {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        match self {
            Self::Classifier(model) => model.visit_linears(visit),
            Self::Causal(model) => model.visit_linears(visit),
            Self::DecoderTexts(model) => model.visit_linears(visit),
            Self::Images(model) => model.visit_linears(visit),
        }
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        match self {
            Self::Classifier(model) => model.visit_linears_mut(visit),
            Self::Causal(model) => model.visit_linears_mut(visit),
            Self::DecoderTexts(model) => model.visit_linears_mut(visit),
            Self::Images(model) => model.visit_linears_mut(visit),
        }
    }

    fn output_heads(&self) -> Vec<String> {
        match self {
            Self::Classifier(model) => model.output_heads(),
            Self::Causal(model) => model.output_heads(),
            Self::DecoderTexts(model) => model.output_heads(),
            Self::Images(model) => model.output_heads(),
        }
    }

    fn sites(&self) -> Vec<Site> {
        match self {
            Self::Classifier(model) => model.sites(),
            Self::Causal(model) => model.sites(),
            Self::DecoderTexts(model) => model.sites(),
            Self::Images(model) => model.sites(),
        }
    }

    fn tied(&self) -> Option<TiedOutput> {
        match self {
            Self::Causal(model) => model.tied(),
            Self::Classifier(_) | Self::DecoderTexts(_) | Self::Images(_) => None,
        }
    }

    fn untie(&mut self) {
        if let Self::Causal(model) = self {
            model.untie();
        }
    }

    fn vocabulary_layers(&self) -> Vec<String> {
        match self {
            Self::Classifier(model) => model.vocabulary_layers(),
            Self::Causal(model) => model.vocabulary_layers(),
            Self::DecoderTexts(model) => model.vocabulary_layers(),
            Self::Images(_) => Vec::new(),
        }
    }

    fn resize_vocabulary(&mut self, tokens: usize) {
        match self {
            Self::Classifier(model) => model.resize_vocabulary(tokens),
            Self::Causal(model) => model.resize_vocabulary(tokens),
            Self::DecoderTexts(model) => model.resize_vocabulary(tokens),
            Self::Images(_) => {}
        }
    }
}

/// A model with what an adapter's run needs to know of it.
#[derive(Debug)]
pub struct Opened {
    /// The model and its names.
    pub loaded: Loaded<AnyModel>,
    /// Modules that are trained and saved with an adapter: the classification head.
    pub head_modules: Vec<String>,
}

/// Loads the kind of model that the folder's configuration says; a classifier gets `outputs` outputs, where that is given, and a decoder
/// is a classifier then.
///
/// # Errors
/// When the folder is no model that can be read.
pub fn open(
    model: &Path,
    outputs: Option<usize>,
    dropout: Option<f64>,
    seed: u64,
    device: &Device,
) -> Result<Opened> {
    let open = Opening {
        model,
        outputs,
        dropout,
        seed,
        device,
    };
    match ModelKind::of(&ModelConfig::read(model)?) {
        ModelKind::Causal if outputs.is_none() => Ok(Opened {
            loaded: open::causal(model, dropout, device)?.map(AnyModel::Causal),
            head_modules: vec![],
        }),
        ModelKind::Causal | ModelKind::DecoderTexts => open.classifier(AnyModel::DecoderTexts),
        ModelKind::Images => open.classifier(AnyModel::Images),
        ModelKind::Texts => open.classifier(AnyModel::Classifier),
    }
}

/// How a classifier is opened.
struct Opening<'a> {
    model: &'a Path,
    outputs: Option<usize>,
    dropout: Option<f64>,
    seed: u64,
    device: &'a Device,
}

impl Opening<'_> {
    fn classifier<M: OpenClassifier>(self, any: fn(M) -> AnyModel) -> Result<Opened> {
        let Self {
            model,
            outputs,
            dropout,
            seed,
            device,
        } = self;
        let loaded = open::classifier::<M>(model, outputs, dropout, seed, device)?;
        Ok(Opened {
            head_modules: M::head_modules(&loaded),
            loaded: loaded.map(any),
        })
    }
}
