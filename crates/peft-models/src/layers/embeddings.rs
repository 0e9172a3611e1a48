//! Word, position and token type embeddings, summed and normalised.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use peft_core::{AdaptedEmbedding, AdaptedLinear, Pass};

use super::norm::LayerNorm;
use crate::batch::TokenBatch;
use crate::encoder_config::{EncoderConfig, Numbering};
use crate::hf::WeightReader;

/// Names of the tables below the embedding module.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingNames {
    /// Word table.
    pub words: &'static str,
    /// Position table.
    pub positions: &'static str,
    /// Token type table, in families that have one.
    pub types: Option<&'static str>,
    /// Layer norm.
    pub norm: &'static str,
}

/// `dropout(norm(word[id] + position[i] + type[t]))`.
#[derive(Module, Debug)]
pub struct TokenEmbeddings {
    /// Shape `[vocab, d_model]`.
    pub words: AdaptedEmbedding,
    /// Shape `[max_positions, d_model]`.
    pub positions: AdaptedEmbedding,
    /// Shape `[types, d_model]`.
    pub types: Option<AdaptedEmbedding>,
    /// Over `d_model`.
    pub norm: LayerNorm,
    dropout: f64,
    #[module(skip)]
    numbering: Numbering,
}

impl TokenEmbeddings {
    /// Reads the tables; `names` are full paths below `base` (`bert.` or nothing).
    #[must_use]
    pub fn load(
        reader: &mut WeightReader,
        base: &str,
        names: &EmbeddingNames,
        config: &EncoderConfig,
    ) -> Self {
        let d = config.d_model;
        let types = names
            .types
            .map(|name| reader.embedding(&format!("{base}{name}"), config.token_types, d));
        Self {
            words: reader.embedding(&format!("{base}{}", names.words), config.vocab_size, d),
            positions: reader.embedding(
                &format!("{base}{}", names.positions),
                config.max_positions,
                d,
            ),
            types,
            norm: reader.layer_norm(&format!("{base}{}", names.norm), d, config.eps),
            dropout: config.hidden_dropout,
            numbering: config.numbering,
        }
    }

    /// The tables, to carry adapters.
    pub fn tables(&self) -> impl Iterator<Item = &AdaptedLinear> {
        let tables = [&self.words, &self.positions].into_iter();
        tables.chain(&self.types).map(|embedding| &embedding.table)
    }

    /// The tables, to be changed.
    pub fn tables_mut(&mut self) -> impl Iterator<Item = &mut AdaptedLinear> {
        let tables = [&mut self.words, &mut self.positions].into_iter();
        tables
            .chain(&mut self.types)
            .map(|embedding| &mut embedding.table)
    }

    /// Embeds a batch; output `[batch, seq, d_model]`.
    #[must_use]
    pub fn forward(&self, batch: &TokenBatch, pass: &mut Pass<'_>) -> Tensor<3> {
        let [_, seq] = batch.ids.dims();
        let ids = batch.ids.clone();
        let positions = match self.numbering {
            Numbering::FromZero => Tensor::arange(0..seq as i64, &ids.device()).unsqueeze(),
            Numbering::AfterPadding { pad_id } => positions_after_padding(ids.clone(), pad_id),
        };
        let words = self.words.forward(ids, pass);
        let positions = self.positions.forward(positions, pass);
        let sum = match (&self.types, &batch.type_ids) {
            (None, _) => words + positions,
            (Some(types), Some(ids)) => words + types.forward(ids.clone(), pass) + positions,
            (Some(types), None) => {
                let first = Tensor::zeros([1, 1], &batch.ids.device());
                words + (types.forward(first, pass) + positions)
            }
        };
        pass.dropout(self.norm.forward(sum), self.dropout)
    }
}

/// RoBERTa's numbering: tokens count up from `pad_id + 1`, padding keeps `pad_id`.
fn positions_after_padding(ids: Tensor<2, Int>, pad_id: usize) -> Tensor<2, Int> {
    #[expect(
        clippy::cast_possible_wrap,
        reason = "token ids are far below the largest i64"
    )]
    let pad = pad_id as i64;
    let token = ids.not_equal_elem(pad).int();
    token.clone().cumsum(1) * token + pad
}
