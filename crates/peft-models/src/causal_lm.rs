//! A decoder that predicts the next token, and how its folders are loaded.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use peft_core::{Adaptable, AdaptedLinear, Layout, Pass, Site, TiedOutput, cast, param_id};
use peft_kernels::{cross_entropy, linear_cross_entropy, product, soft_capped};

use crate::causal_batch::CausalBatch;
use crate::classifier::Loaded;
use crate::decoder::{Decoder, KvCache, OUTPUT_LAYER};
use crate::decoder_config::{DecoderConfig, DecoderFamily};
use crate::error::ModelError;
use crate::hf::{ModelConfig, WeightReader};
use crate::layers::with_tokens;

/// Name of the output layer's weight.
const HEAD_WEIGHT: &str = "lm_head.weight";

/// A causal language model.
#[derive(Module, Debug)]
pub struct CausalLm {
    /// Tokens to hidden states.
    pub decoder: Decoder,
    /// Hidden states to logits; absent where the transposed word table serves (`tie_word_embeddings`), until an adapter makes the two
    /// differ ([`Adaptable::untie`]).
    pub head: Option<AdaptedLinear>,
}

impl CausalLm {
    /// Path of the output layer.
    pub const HEAD: &'static str = OUTPUT_LAYER;

    /// The output layer, whether it has a weight of its own or not.
    fn head_site(&self) -> Site {
        let config = self.decoder.config();
        Site::new(Self::HEAD, config.d_model, config.vocab_size)
    }

    /// Logits of the next token after each one, shape `[batch, seq, vocab]`.
    ///
    /// # Panics
    /// When the batch does not pass [`Decoder::check`].
    #[must_use]
    pub fn logits(
        &self,
        batch: &CausalBatch,
        cache: Option<&mut KvCache>,
        pass: &mut Pass<'_>,
    ) -> Tensor<3> {
        let hidden = self.decoder.hidden(batch, cache, pass);
        self.predict(hidden, pass)
    }

    /// Hidden states `[batch, seq, d_model]` to logits `[batch, seq, vocab]`.
    #[must_use]
    pub fn predict(&self, hidden: Tensor<3>, pass: &mut Pass<'_>) -> Tensor<3> {
        let hidden = self.scaled(hidden);
        let logits = match &self.head {
            Some(head) => head.forward(hidden, pass),
            None => {
                let [rows, seq, d] = hidden.dims();
                let table = &self.decoder.words.table.weight;
                let stored = hidden.dtype();
                let hidden = cast(hidden.reshape([rows * seq, d]), table.dtype());
                let logits = cast(product(hidden, table.transposed_factor()), stored);
                let vocab = logits.dims()[1];
                logits.reshape([rows, seq, vocab])
            }
        };
        match self.decoder.config().logit_cap {
            Some(cap) => soft_capped(logits, cap),
            None => logits,
        }
    }

    /// Hidden states times the factor of the logits.
    fn scaled<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        match self.decoder.config().scales.logits {
            1.0 => hidden,
            scale => hidden.mul_scalar(scale),
        }
    }
}

impl CausalLm {
    /// The cross entropy of the next token after each hidden state, shape `[rows]` in f32; `hidden [rows, d_model]`.
    ///
    /// Logits are computed some rows at a time and never held whole, unless something trains in the output layer.
    ///
    /// # Panics
    /// When there is not one target of the vocabulary for every row.
    #[must_use]
    pub fn losses(&self, hidden: Tensor<2>, targets: &[u32], pass: &mut Pass<'_>) -> Tensor<1> {
        let frozen = match &self.head {
            None => Some(self.decoder.words.table.weight.transposed_factor()),
            Some(head) if head.has_adapters() || head.bias.is_some() => None,
            Some(head) => Some(head.weight.factor()),
        };
        if let Some(weight) = frozen.filter(|weight| weight.dtype() == DType::F32) {
            let hidden = self.scaled(cast(hidden, DType::F32));
            let cap = self.decoder.config().logit_cap;
            return linear_cross_entropy(hidden, weight, targets, cap);
        }
        let logits = self.predict(hidden.unsqueeze(), pass);
        let [_, rows, vocab] = logits.dims();
        cross_entropy(cast(logits.reshape([rows, vocab]), DType::F32), targets)
    }
}

impl Adaptable for CausalLm {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        self.decoder.visit_linears(visit);
        self.head.iter().for_each(visit);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        self.decoder.visit_linears_mut(visit);
        self.head.iter_mut().for_each(visit);
    }

    fn sites(&self) -> Vec<Site> {
        let mut sites = Vec::new();
        self.visit_linears(&mut |linear| sites.push(linear.site().clone()));
        if self.head.is_none() {
            sites.push(self.head_site());
        }
        sites
    }

    fn output_heads(&self) -> Vec<String> {
        vec![Self::HEAD.to_owned()]
    }

    fn tied(&self) -> Option<TiedOutput> {
        self.head.is_none().then(|| TiedOutput {
            table: self.decoder.words.table.site().path.clone(),
            output: Self::HEAD.to_owned(),
        })
    }

    fn untie(&mut self) {
        if self.head.is_none() {
            let weight = (self.decoder.words.table.weight).transposed(param_id(HEAD_WEIGHT));
            self.head = Some(AdaptedLinear::new(self.head_site(), weight, None));
        }
    }

    fn vocabulary_layers(&self) -> Vec<String> {
        let mut layers = self.decoder.vocabulary_layers();
        layers.push(Self::HEAD.to_owned());
        layers
    }

    fn resize_vocabulary(&mut self, tokens: usize) {
        self.decoder.resize_vocabulary(tokens);
        if let Some(head) = &mut self.head {
            *head = with_tokens(head, tokens);
        }
    }
}

/// Loads a folder as a causal language model, every parameter frozen.
///
/// # Errors
/// An unreadable or unsupported configuration, unreadable files, or weights that do not fit (all listed).
pub fn load_causal_lm(dir: &Path, device: &Device) -> Result<Loaded<CausalLm>, ModelError> {
    load_causal_lm_with(ModelConfig::read(dir)?, dir, device)
}

/// As [`load_causal_lm`], with a configuration that differs from the folder's own, for example in its dropout.
///
/// # Errors
/// As [`load_causal_lm`].
pub fn load_causal_lm_with(
    config: ModelConfig,
    dir: &Path,
    device: &Device,
) -> Result<Loaded<CausalLm>, ModelError> {
    let family = DecoderFamily::of(&config)?;
    let sizes = (family.read)(&config)?;
    let reader = WeightReader::open(dir, family.prefix, sizes.initializer_range, 0, device)?
        .keeping(config.kept());
    build(config, family, &sizes, reader)
}

/// A causal language model with fresh weights throughout.
///
/// # Errors
/// An unsupported configuration.
pub fn init_causal_lm(
    config: ModelConfig,
    seed: u64,
    device: &Device,
) -> Result<Loaded<CausalLm>, ModelError> {
    let family = DecoderFamily::of(&config)?;
    let sizes = (family.read)(&config)?;
    let reader = WeightReader::untrained(family.prefix, sizes.initializer_range, seed, device);
    build(config, family, &sizes, reader)
}

fn build(
    config: ModelConfig,
    family: &DecoderFamily,
    sizes: &DecoderConfig,
    mut reader: WeightReader,
) -> Result<Loaded<CausalLm>, ModelError> {
    let base = format!("{}.", family.prefix);
    let decoder = Decoder::load(&mut reader, &base, family, sizes);
    let shape = [sizes.d_model, sizes.vocab_size];
    let head = (!sizes.tied).then(|| reader.output_layer(CausalLm::HEAD, shape));
    let model = CausalLm { decoder, head };
    let mut report = reader.finish()?;
    // A tied output layer has its name too: adapters may train or save it by that.
    report.names.insert(HEAD_WEIGHT, Layout::Transposed);
    Ok(Loaded::new(model, config, report))
}
