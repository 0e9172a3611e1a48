//! Encoder and classification head, and how model folders are loaded.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use peft_core::{Adaptable, AdaptedLinear, ParamNames, Pass};

use crate::batch::TokenBatch;
use crate::encoder::Encoder;
use crate::encoder_config::EncoderConfig;
use crate::encoder_family::Family;
use crate::error::ModelError;
use crate::heads::ClassificationHead;
use crate::hf::{HeadLabels, LoadReport, ModelConfig, WeightReader};

/// A model and everything that was learnt while loading it.
#[derive(Debug, Clone)]
pub struct Loaded<M> {
    /// The model, every parameter frozen.
    pub model: M,
    /// Names and layouts of its parameters.
    pub names: ParamNames,
    /// The configuration that describes the model as it is now (labels, architecture).
    pub config: ModelConfig,
    /// Parameters that started afresh because no file holds them.
    pub fresh: Vec<String>,
    /// Tensors of the file that the model has no use for.
    pub ignored: Vec<String>,
}

impl<M> Loaded<M> {
    /// What a finished reader knows of the model it was read for.
    pub(crate) fn new(model: M, config: ModelConfig, report: LoadReport) -> Self {
        Self {
            model,
            names: report.names,
            config,
            fresh: report.fresh,
            ignored: report.ignored,
        }
    }

    /// The same with another model in its place.
    pub fn map<N>(self, change: impl FnOnce(M) -> N) -> Loaded<N> {
        Loaded {
            model: change(self.model),
            names: self.names,
            config: self.config,
            fresh: self.fresh,
            ignored: self.ignored,
        }
    }
}

/// An encoder with a sequence classification head.
#[derive(Module, Debug)]
pub struct SequenceClassifier {
    /// Tokens to hidden states.
    pub encoder: Encoder,
    /// Hidden states to logits.
    pub head: ClassificationHead,
}

impl SequenceClassifier {
    /// Hidden states, shape `[batch, seq, d_model]`.
    #[must_use]
    pub fn hidden(&self, batch: &TokenBatch, pass: &mut Pass<'_>) -> Tensor<3> {
        self.encoder.hidden(batch, pass)
    }

    /// Logits, shape `[batch, labels]`; one label means regression.
    #[must_use]
    pub fn logits(&self, batch: &TokenBatch, pass: &mut Pass<'_>) -> Tensor<2> {
        let hidden = self.encoder.hidden(batch, pass);
        self.head.forward(hidden, pass)
    }

    /// Number of outputs.
    #[must_use]
    pub fn num_labels(&self) -> usize {
        self.head.output.site().d_out
    }
}

impl Adaptable for SequenceClassifier {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        self.encoder.visit_linears(visit);
        visit(&self.head.dense);
        visit(&self.head.output);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        self.encoder.visit_linears_mut(visit);
        visit(&mut self.head.dense);
        visit(&mut self.head.output);
    }

    fn output_heads(&self) -> Vec<String> {
        vec![self.head.output.site().path.clone()]
    }

    fn vocabulary_layers(&self) -> Vec<String> {
        self.encoder.vocabulary_layers()
    }

    fn resize_vocabulary(&mut self, tokens: usize) {
        self.encoder.resize_vocabulary(tokens);
    }
}

impl Loaded<SequenceClassifier> {
    /// What belongs into `modules_to_save`: the head, and a pooler that starts afresh.
    #[must_use]
    pub fn head_modules(&self) -> Vec<String> {
        let modules =
            Family::by_type(self.config.model_type()).map_or(&[][..], |family| family.head.modules);
        let is_fresh = |path: &str| {
            let below = |name: &String| {
                name.strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('.'))
            };
            self.fresh.iter().any(below)
        };
        modules
            .iter()
            .filter(|module| !module.only_when_fresh || is_fresh(module.path))
            .map(|module| module.name.to_owned())
            .collect()
    }
}

/// Loads a folder as a sequence classifier.
///
/// With a number of outputs the head gets that many and starts afresh where the file has another number; without it
/// the configuration decides. Heads that the file lacks start afresh from `seed`.
///
/// # Errors
/// An unreadable or unsupported configuration, unreadable files, or weights that do not fit (all listed).
pub fn load_classifier(
    dir: &Path,
    head: impl Into<HeadLabels>,
    seed: u64,
    device: &Device,
) -> Result<Loaded<SequenceClassifier>, ModelError> {
    load_classifier_with(ModelConfig::read(dir)?, dir, head, seed, device)
}

/// As [`load_classifier`], with a configuration that differs from the folder's own, for example in its dropout.
///
/// # Errors
/// As [`load_classifier`].
pub fn load_classifier_with(
    config: ModelConfig,
    dir: &Path,
    head: impl Into<HeadLabels>,
    seed: u64,
    device: &Device,
) -> Result<Loaded<SequenceClassifier>, ModelError> {
    let family = Family::of(&config)?;
    let sizes = (family.read)(&config)?;
    let reader = WeightReader::open(dir, family.prefix, sizes.initializer_range, seed, device)?
        .keeping(config.kept());
    build_classifier(config, family, &sizes, head.into(), reader)
}

/// A sequence classifier with fresh weights throughout, for pretraining and for tests.
///
/// # Errors
/// An unsupported configuration.
pub fn init_classifier(
    config: ModelConfig,
    seed: u64,
    device: &Device,
) -> Result<Loaded<SequenceClassifier>, ModelError> {
    let family = Family::of(&config)?;
    let sizes = (family.read)(&config)?;
    let reader = WeightReader::untrained(family.prefix, sizes.initializer_range, seed, device);
    build_classifier(config, family, &sizes, HeadLabels::OfConfig, reader)
}

/// Loads a folder as a bare encoder: paths without base prefix, heads and pooler ignored.
///
/// # Errors
/// As [`load_classifier`].
pub fn load_encoder(dir: &Path, device: &Device) -> Result<Loaded<Encoder>, ModelError> {
    let (config, family, sizes) = read_config(dir)?;
    let reader = WeightReader::open(dir, family.prefix, sizes.initializer_range, 0, device)?
        .keeping(config.kept());
    finish_encoder(config, family, &sizes, reader)
}

/// A bare encoder with fresh weights throughout.
///
/// # Errors
/// An unsupported configuration.
pub fn init_encoder(
    config: ModelConfig,
    seed: u64,
    device: &Device,
) -> Result<Loaded<Encoder>, ModelError> {
    let family = Family::of(&config)?;
    let sizes = (family.read)(&config)?;
    let reader = WeightReader::untrained(family.prefix, sizes.initializer_range, seed, device);
    finish_encoder(config, family, &sizes, reader)
}

fn read_config(dir: &Path) -> Result<(ModelConfig, &'static Family, EncoderConfig), ModelError> {
    let config = ModelConfig::read(dir)?;
    let family = Family::of(&config)?;
    let sizes = (family.read)(&config)?;
    Ok((config, family, sizes))
}

fn build_classifier(
    config: ModelConfig,
    family: &Family,
    sizes: &EncoderConfig,
    head: HeadLabels,
    mut reader: WeightReader,
) -> Result<Loaded<SequenceClassifier>, ModelError> {
    let (num_labels, policy) = head.of(&config);
    let base = format!("{}.", family.prefix);
    let encoder = Encoder::load(&mut reader, &base, family, sizes);
    let head = ClassificationHead::load(&mut reader, &family.head, sizes, num_labels, policy);
    let model = SequenceClassifier { encoder, head };
    let config = config
        .with_num_labels(num_labels)
        .with_architecture(family.classifier_class);
    Ok(Loaded::new(model, config, reader.finish()?))
}

fn finish_encoder(
    config: ModelConfig,
    family: &Family,
    sizes: &EncoderConfig,
    mut reader: WeightReader,
) -> Result<Loaded<Encoder>, ModelError> {
    let model = Encoder::load(&mut reader, "", family, sizes);
    Ok(Loaded::new(model, config, reader.finish()?))
}
