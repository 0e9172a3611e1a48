//! What the backward pass keeps, and what it works on.

use std::collections::BTreeMap;

use peft_core::{Adaptable, AttachedSite, Site};
use peft_kernels::held_scores;
use peft_models::{CausalLm, DecoderClassifier};

use super::block::{BlockShape, Manner, Trained};
use crate::any_model::AnyModel;
use crate::settings::{RunConfig, USUAL_LENGTH};

/// Bytes of a value.
const F32: f64 = 4.0;
/// Tensors of `[tokens, d_model]` behind the last block: the last norm's input and output, and the gradient of the loss.
const BEHIND: usize = 3;
/// Tensors of `[tokens, vocabulary]` where an output layer that trains holds its scores: these, their logarithms, and the gradient.
const SCORES: usize = 3;

/// What is held of a vocabulary's scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scores {
    /// No language model.
    None,
    /// Those of some tokens at a time.
    Pieces { vocabulary: usize },
    /// All of them.
    All { vocabulary: usize },
}

/// The sizes that decide how much the backward pass keeps.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::targets) struct Activations {
    /// Sequences of a batch.
    pub(super) batch: usize,
    /// Tokens of the longest sequence.
    pub(super) length: usize,
    d_model: usize,
    /// Numbers of a token that each block keeps of those that gradients pass through.
    blocks: Vec<usize>,
    /// Numbers of a token that the backward of a block makes.
    worked_on: usize,
    scores: Scores,
    /// Whether a mask of `[length, length]` is held for each sequence.
    masked: bool,
    /// Whether blocks are computed again, so that only their inputs and the insides of one are kept.
    recomputed: bool,
    /// Whether the insides of blocks are kept in 16 bits.
    pub(super) rounded: bool,
}

impl Activations {
    /// The largest batch of the run `config`, with adapters at `sites` and these layers trained as a whole.
    pub(in crate::targets) fn of(
        model: &AnyModel,
        config: &RunConfig,
        sites: &[AttachedSite],
        saved: &[String],
    ) -> Self {
        let cut = config.data.max_length.unwrap_or(USUAL_LENGTH);
        let (shape, layers, length) = match model {
            AnyModel::Classifier(model) => {
                let sizes = model.encoder.config();
                let length = cut.min(sizes.max_length());
                (BlockShape::of_encoder(sizes), sizes.layers, length)
            }
            AnyModel::Causal(CausalLm { decoder, .. })
            | AnyModel::DecoderTexts(DecoderClassifier { decoder, .. }) => {
                let sizes = decoder.config();
                let length = cut.min(sizes.max_positions);
                (BlockShape::of_decoder(decoder), sizes.layers, length)
            }
            AnyModel::Images(model) => {
                let sizes = model.config();
                (BlockShape::of_images(sizes), sizes.layers, sizes.tokens())
            }
        };
        let manner = manner(config);
        let trained = trained(&shape, model, sites, saved);
        let first = match manner.whole {
            true => 0,
            false => first_block(sites, saved, layers),
        };
        let kept = |block| {
            let layers = trained.get(&block).map_or(&[][..], Vec::as_slice);
            shape.kept(layers, manner)
        };
        let rounded = config.compute.is_rounded_on(&config.device);
        let limit = config.train.max_tokens;
        let limit = limit.map_or(usize::MAX, |tokens| (tokens / length.max(1)).max(1));
        Self {
            batch: config.train.batch_size.min(limit),
            length,
            d_model: shape.d_model,
            blocks: (first..layers).map(kept).collect(),
            worked_on: shape.worked_on(rounded),
            scores: scores(model, manner, sites, saved),
            masked: !matches!(model, AnyModel::Classifier(_) | AnyModel::Images(_)),
            recomputed: config.train.gradient_checkpointing,
            rounded,
        }
    }

    /// Of one block that keeps so many numbers of each of four tokens.
    #[cfg(test)]
    pub(super) fn some(kept: usize) -> Self {
        Self {
            batch: 2,
            length: 2,
            d_model: 8,
            blocks: vec![kept],
            worked_on: 100,
            scores: Scores::None,
            masked: false,
            recomputed: false,
            rounded: false,
        }
    }

    fn tokens(&self) -> f64 {
        self.batch as f64 * self.length as f64
    }

    /// Bytes that are kept from the forward to the backward, in floating point, where no setting is too large.
    pub(super) fn kept(&self) -> u64 {
        let (inputs, insides) = match self.recomputed {
            true => {
                let largest = self.blocks.iter().max().copied().unwrap_or(0);
                (self.blocks.len() * self.d_model, largest)
            }
            false => (0, self.blocks.iter().sum()),
        };
        let insides = if self.rounded { insides / 2 } else { insides };
        let behind = match self.scores {
            Scores::None => 0,
            Scores::Pieces { .. } => BEHIND * self.d_model,
            Scores::All { vocabulary } => BEHIND * self.d_model + SCORES * vocabulary,
        };
        let mask = if self.masked { self.length } else { 0 };
        (F32 * self.tokens() * (inputs + insides + behind + mask) as f64) as u64
    }

    /// Bytes that come and go beside that, at most: scores of some tokens, or what the backward of a block makes.
    pub(super) fn worked_on(&self) -> u64 {
        let scores = match self.scores {
            Scores::Pieces { vocabulary } => {
                let tokens = self.batch.saturating_mul(self.length);
                let scores = held_scores(tokens, vocabulary) as f64;
                // Their gradient is rounded beside them.
                if self.rounded { 1.5 * scores } else { scores }
            }
            Scores::None | Scores::All { .. } => 0.0,
        };
        let block = if self.blocks.is_empty() {
            0
        } else {
            self.worked_on
        };
        (F32 * scores.max(self.tokens() * block as f64)) as u64
    }
}

fn manner(config: &RunConfig) -> Manner {
    let method = config.adapter.method.as_str();
    Manner {
        whole: method == "full",
        scales: matches!(method, "dora" | "bora"),
    }
}

/// The layers of each block with an adapter, or trained as a whole.
fn trained(
    shape: &BlockShape,
    model: &AnyModel,
    sites: &[AttachedSite],
    saved: &[String],
) -> BTreeMap<usize, Vec<Trained>> {
    let mut blocks: BTreeMap<usize, Vec<Site>> = BTreeMap::new();
    for site in model.sites() {
        if let Some(block) = block_of(&site.path) {
            blocks.entry(block).or_default().push(site);
        }
    }
    let rank = |site: &Site| {
        let adapted = sites.iter().find(|adapted| adapted.path == site.path);
        let is_saved = || saved.contains(&format!("{}.weight", site.path));
        adapted
            .map(|adapted| adapted.rank)
            .or_else(|| is_saved().then_some(0))
    };
    let of_block = |(block, layers): (usize, Vec<Site>)| {
        let all = layers.len();
        let trained = layers.iter().enumerate().filter_map(|(place, site)| {
            Some(Trained {
                role: shape.role(place, all),
                place,
                d_out: site.d_out,
                rank: rank(site)?,
            })
        });
        (block, trained.collect())
    };
    blocks.into_iter().map(of_block).collect()
}

/// The number of the block that a path leads into.
fn block_of(path: &str) -> Option<usize> {
    path.split('.').find_map(|segment| segment.parse().ok())
}

/// The first block that gradients pass through; `blocks` where there is none.
fn first_block(sites: &[AttachedSite], saved: &[String], blocks: usize) -> usize {
    const TABLES: [&str; 4] = ["embeddings", "embed_tokens", "wte", "wpe"];
    let paths = || {
        let adapted = sites.iter().map(|site| site.path.as_str());
        adapted.chain(saved.iter().map(String::as_str))
    };
    if paths().any(|path| TABLES.iter().any(|table| path.contains(table))) {
        return 0;
    }
    let first = paths().filter_map(block_of).min();
    first.map_or(blocks, |first| first.min(blocks))
}

/// A frozen output layer computes its scores and their cross entropy in pieces.
fn scores(model: &AnyModel, manner: Manner, sites: &[AttachedSite], saved: &[String]) -> Scores {
    let AnyModel::Causal(model) = model else {
        return Scores::None;
    };
    let vocabulary = model.decoder.config().vocab_size;
    let weight = format!("{}.weight", CausalLm::HEAD);
    let trains = manner.whole
        || sites.iter().any(|site| site.path == CausalLm::HEAD)
        || saved.contains(&weight);
    match trains {
        true => Scores::All { vocabulary },
        false => Scores::Pieces { vocabulary },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Activations = Activations {
        batch: 3,
        length: 5,
        d_model: 8,
        blocks: Vec::new(),
        worked_on: 70,
        scores: Scores::None,
        masked: false,
        recomputed: false,
        rounded: false,
    };

    #[test]
    fn blocks_add_up_unless_they_are_computed_again() {
        let blocks = vec![100, 120];
        let all = Activations { blocks, ..SMALL };
        assert_eq!(all.kept(), 4 * 15 * 220);
        assert_eq!(all.worked_on(), 4 * 15 * 70);
        let rounded = Activations {
            rounded: true,
            ..all.clone()
        };
        assert_eq!(rounded.kept(), 2 * 15 * 220);
        let again = Activations {
            recomputed: true,
            ..all
        };
        assert_eq!(again.kept(), 4 * 15 * (2 * 8 + 120));
        assert_eq!((SMALL.kept(), SMALL.worked_on()), (0, 0));
    }

    #[test]
    fn scores_are_held_for_some_tokens_unless_the_output_layer_trains() {
        let vocabulary = 1_000_000;
        let pieces = Activations {
            scores: Scores::Pieces { vocabulary },
            ..SMALL
        };
        assert_eq!(pieces.kept(), 4 * 15 * 3 * 8);
        assert_eq!(pieces.worked_on(), 4 * 15 * 1_000_000);
        let long = Activations {
            length: 5000,
            ..pieces.clone()
        };
        assert_eq!(long.worked_on(), 4 * 16 * 1_000_000);
        let all = Activations {
            scores: Scores::All { vocabulary },
            ..SMALL
        };
        assert_eq!(all.kept(), 4 * 15 * (3 * 8 + 3_000_000));
        assert_eq!(all.worked_on(), 0);
    }

    #[test]
    fn gradients_pass_through_all_blocks_behind_the_first_that_trains() {
        let saved = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        assert_eq!(first_block(&[], &saved(&["classifier.weight"]), 3), 3);
        assert_eq!(
            first_block(&[], &saved(&["h.2.up.weight", "h.1.up.weight"]), 3),
            1
        );
        assert_eq!(
            first_block(&[], &saved(&["model.embed_tokens.weight"]), 3),
            0
        );
    }
}
