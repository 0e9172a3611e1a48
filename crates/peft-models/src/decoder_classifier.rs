//! A decoder that classifies a text by its last token, and how its folders are loaded.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use peft_core::{Adaptable, AdaptedLinear, Pass, Site, SiteKind};

use crate::causal_batch::CausalBatch;
use crate::classifier::Loaded;
use crate::decoder::Decoder;
use crate::decoder_config::{DecoderConfig, DecoderFamily};
use crate::error::ModelError;
use crate::hf::{HeadLabels, ModelConfig, WeightReader};
use crate::sites::decoder_sites;

/// How the classes of `transformers` with this head end.
const CLASS: &str = "ForSequenceClassification";

/// A decoder with a sequence classification head: the last token has seen the whole text.
#[derive(Module, Debug)]
pub struct DecoderClassifier {
    /// Tokens to hidden states.
    pub decoder: Decoder,
    /// `d_model` to labels, without bias; one label means regression.
    pub head: AdaptedLinear,
}

impl DecoderClassifier {
    /// Path of the classification head.
    pub const HEAD: &'static str = "score";

    /// Whether a decoder's configuration is for this class.
    pub(crate) fn is_meant(config: &ModelConfig) -> bool {
        let mut classes = config.architectures().iter();
        classes.any(|class| class.ends_with(CLASS))
    }

    /// Logits of each text, by its last token, shape `[texts, labels]`.
    ///
    /// # Panics
    /// When the batch does not pass [`Decoder::check`].
    #[must_use]
    pub fn logits(&self, batch: &CausalBatch, pass: &mut Pass<'_>) -> Tensor<2> {
        let hidden = self.decoder.hidden(batch, None, pass);
        let [rows, seq, d] = hidden.dims();
        let ends: Vec<i64> = batch
            .texts()
            .iter()
            .map(|text| text.end as i64 - 1)
            .collect();
        let ends = TensorData::new(ends, [batch.texts().len()]);
        let ends = Tensor::<1, Int>::from_data(ends, &hidden.device());
        let last = hidden.reshape([rows * seq, d]).select(0, ends);
        self.head.forward(last, pass)
    }
}

impl Adaptable for DecoderClassifier {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        self.decoder.visit_linears(visit);
        visit(&self.head);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        self.decoder.visit_linears_mut(visit);
        visit(&mut self.head);
    }

    fn output_heads(&self) -> Vec<String> {
        vec![self.head.site().path.clone()]
    }

    fn vocabulary_layers(&self) -> Vec<String> {
        self.decoder.vocabulary_layers()
    }

    fn resize_vocabulary(&mut self, tokens: usize) {
        self.decoder.resize_vocabulary(tokens);
    }
}

/// Loads a folder as a classifier, every parameter frozen; with a number of outputs its head gets that many and starts afresh where the
/// file has another number, or none. The configuration may differ from the folder's own, for example in its dropout.
///
/// # Errors
/// An unsupported configuration, unreadable files, or weights that do not fit (all listed).
pub fn load_decoder_classifier(
    config: ModelConfig,
    dir: &Path,
    head: impl Into<HeadLabels>,
    seed: u64,
    device: &Device,
) -> Result<Loaded<DecoderClassifier>, ModelError> {
    let family = DecoderFamily::of(&config)?;
    let sizes = (family.read)(&config)?;
    let reader = WeightReader::open(dir, family.prefix, sizes.initializer_range, seed, device)?
        .keeping(config.kept());
    build(config, family, &sizes, head.into(), reader)
}

/// Every site of the classifier that the configuration describes, in the order of the model.
///
/// # Errors
/// An unsupported family or a field that cannot be read.
pub fn decoder_classifier_sites(config: &ModelConfig) -> Result<Vec<Site>, ModelError> {
    let (mut sites, sizes) = decoder_sites(config)?;
    let labels = config.num_labels();
    sites.push(Site::new(DecoderClassifier::HEAD, sizes.d_model, labels));
    Ok(sites)
}

fn build(
    config: ModelConfig,
    family: &DecoderFamily,
    sizes: &DecoderConfig,
    head: HeadLabels,
    mut reader: WeightReader,
) -> Result<Loaded<DecoderClassifier>, ModelError> {
    let (num_labels, policy) = head.of(&config);
    let base = format!("{}.", family.prefix);
    let decoder = Decoder::load(&mut reader, &base, family, sizes);
    let shape = [sizes.d_model, num_labels];
    let head = reader.head_linear_of(DecoderClassifier::HEAD, shape, SiteKind::Linear, policy);
    let class = class_name(&config);
    let config = config.with_num_labels(num_labels).with_architecture(&class);
    let model = DecoderClassifier { decoder, head };
    Ok(Loaded::new(model, config, reader.finish()?))
}

/// The class of `transformers`: that of the language model with another ending.
fn class_name(config: &ModelConfig) -> String {
    let class = config.architectures().first().map_or("", String::as_str);
    let stem = ["ForCausalLM", "LMHeadModel", "Model", CLASS]
        .iter()
        .find_map(|end| class.strip_suffix(end));
    let stem = stem.map_or_else(|| capitalised(config.model_type()), str::to_owned);
    format!("{stem}{CLASS}")
}

fn capitalised(model_type: &str) -> String {
    match model_type {
        "gpt2" => "GPT2".to_owned(),
        other => other[..1].to_ascii_uppercase() + &other[1..],
    }
}
