//! The encoder of every family: embeddings and a stack of blocks.

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::{Adaptable, AdaptedLinear, Pass};

use crate::batch::TokenBatch;
use crate::encoder_config::EncoderConfig;
use crate::encoder_family::Family;
use crate::error::ModelError;
use crate::hf::WeightReader;
use crate::layers::{Block, TokenEmbeddings, attention_bias, with_tokens};

/// A bidirectional transformer encoder.
#[derive(Module, Debug)]
pub struct Encoder {
    /// Tokens to vectors.
    pub embeddings: TokenEmbeddings,
    /// One after the other.
    pub blocks: Vec<Block>,
    #[module(skip)]
    config: EncoderConfig,
}

impl Encoder {
    /// Reads the encoder; `base` goes before every name (`bert.` in a model with a head, nothing in a bare one).
    #[must_use]
    pub fn load(
        reader: &mut WeightReader,
        base: &str,
        family: &Family,
        config: &EncoderConfig,
    ) -> Self {
        let embeddings = TokenEmbeddings::load(reader, base, &family.embeddings, config);
        let blocks = (0..config.layers)
            .map(|index| {
                let path = format!("{base}{}.{index}", family.blocks);
                Block::load(reader, &path, &family.block, config)
            })
            .collect();
        Self {
            embeddings,
            blocks,
            config: config.clone(),
        }
    }

    /// Sizes and options.
    #[must_use]
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Whether the model has a row for every id, type and position of the batch; call it before the first forward of
    /// data that nobody has checked.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`].
    pub fn check(&self, batch: &TokenBatch) -> Result<(), ModelError> {
        let config = &self.config;
        let limits = [
            ("token id", batch.largest_id, config.vocab_size - 1),
            (
                "token type",
                batch.largest_type,
                config.token_types.max(1) - 1,
            ),
            ("sequence length", batch.seq(), config.max_length()),
        ];
        match limits.into_iter().find(|(_, found, limit)| found > limit) {
            Some((what, found, limit)) => Err(ModelError::OutOfRange { what, found, limit }),
            None => Ok(()),
        }
    }

    /// Hidden states after the last block, shape `[batch, seq, d_model]`; rows of padding hold no information.
    ///
    /// # Panics
    /// When the batch does not pass [`Encoder::check`].
    #[must_use]
    pub fn hidden(&self, batch: &TokenBatch, pass: &mut Pass<'_>) -> Tensor<3> {
        let [rows, seq] = batch.ids.dims();
        let d = self.config.d_model;
        let bias = batch.mask.as_ref().map(attention_bias);
        let mut x = self
            .embeddings
            .forward(batch, pass)
            .reshape([rows * seq, d]);
        pass.set_padding(batch.mask.clone());
        for block in &self.blocks {
            x = pass.block(block, x, &bias, move |block, x, bias, pass| {
                block.forward(x, seq, bias.as_ref(), pass)
            });
        }
        pass.set_padding(None);
        x.reshape([rows, seq, d])
    }
}

impl Adaptable for Encoder {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        let tables = self.embeddings.tables();
        let linears = self.blocks.iter().flat_map(Block::linears);
        tables.chain(linears).for_each(visit);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        let tables = self.embeddings.tables_mut();
        let linears = self.blocks.iter_mut().flat_map(Block::linears_mut);
        tables.chain(linears).for_each(visit);
    }

    fn vocabulary_layers(&self) -> Vec<String> {
        vec![self.embeddings.words.table.site().path.clone()]
    }

    fn resize_vocabulary(&mut self, tokens: usize) {
        let words = &mut self.embeddings.words.table;
        *words = with_tokens(words, tokens);
        self.config.vocab_size = tokens;
    }
}
