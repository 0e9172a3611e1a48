//! A model of any kind, for verbs that look at layers and do not ask what the model answers.

use burn::module::Module;
use burn::tensor::Device;
use peft_core::{Adaptable, AdaptedLinear, Site, TiedOutput};
use peft_models::{
    CausalLm, DecoderClassifier, ImageClassifier, Loaded, ModelConfig, ModelKind,
    SequenceClassifier,
};

use crate::Result;
use crate::open::{self, Base, OpenClassifier};

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
pub fn open<'a>(
    base: impl Into<Base<'a>>,
    outputs: Option<usize>,
    seed: u64,
    device: &Device,
) -> Result<Opened> {
    let base = base.into();
    match ModelKind::of(&ModelConfig::read(base.dir)?) {
        ModelKind::Causal if outputs.is_none() => Ok(Opened {
            loaded: open::causal(base, device)?.map(AnyModel::Causal),
            head_modules: vec![],
        }),
        ModelKind::Causal | ModelKind::DecoderTexts => {
            classifier(base, outputs, seed, device, AnyModel::DecoderTexts)
        }
        ModelKind::Images => classifier(base, outputs, seed, device, AnyModel::Images),
        ModelKind::Texts => classifier(base, outputs, seed, device, AnyModel::Classifier),
    }
}

fn classifier<M: OpenClassifier>(
    base: Base<'_>,
    outputs: Option<usize>,
    seed: u64,
    device: &Device,
    any: fn(M) -> AnyModel,
) -> Result<Opened> {
    let loaded = open::classifier::<M>(base, outputs, seed, device)?;
    Ok(Opened {
        head_modules: M::head_modules(&loaded),
        loaded: loaded.map(any),
    })
}
