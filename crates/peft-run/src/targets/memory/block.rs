//! What a block keeps of each token for the backward pass, counted tensor by tensor as the fused operations keep them.

use peft_models::layers::FeedForward;
use peft_models::{Decoder, EncoderConfig, VitConfig};

/// What a linear layer of a block reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Queries, keys or values, or all of them: the first norm's output.
    Projection,
    /// The output of attention.
    Output,
    /// The way up of the MLP, and its gate: the second norm's output.
    Up,
    /// The way down: what the nonlinearity gives.
    Down,
}

/// A layer of a block with an adapter, or one that trains itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trained {
    pub(super) role: Role,
    /// Place among the layers of the block.
    pub(super) place: usize,
    pub(super) d_out: usize,
    pub(super) rank: usize,
}

/// How the layers of a run train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Manner {
    /// Every weight trains.
    pub(super) whole: bool,
    /// Adapters scale the output of their layer, which they keep.
    pub(super) scales: bool,
}

/// The sizes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockShape {
    pub(super) d_model: usize,
    /// Width of all queries together.
    pub(super) queries: usize,
    /// Width of all keys together.
    pub(super) keys: usize,
    pub(super) d_ff: usize,
    pub(super) heads: usize,
    /// Whether the MLP has a gate.
    pub(super) gated: bool,
    /// Layers of the way up: 2 where the gate has one of its own.
    pub(super) ups: usize,
    /// Norms of hidden states.
    pub(super) norms: usize,
    /// Whether queries and keys are turned by their positions.
    pub(super) rotary: bool,
    /// Whether queries and keys are normalised.
    pub(super) head_norms: bool,
}

impl BlockShape {
    pub(super) fn of_encoder(sizes: &EncoderConfig) -> Self {
        Self::plain(sizes.d_model, sizes.d_ff, sizes.heads)
    }

    pub(super) fn of_images(sizes: &VitConfig) -> Self {
        Self::plain(sizes.d_model, sizes.d_ff, sizes.heads)
    }

    pub(super) fn of_decoder(decoder: &Decoder) -> Self {
        let sizes = decoder.config();
        let rotary = !sizes.ropes.is_empty();
        let plain = Self::plain(sizes.d_model, sizes.d_ff, sizes.heads);
        let (gated, ups, norms) = match decoder.blocks.first() {
            Some(block) => {
                let norms = [
                    &block.attention_norm,
                    &block.attention_post_norm,
                    &block.mlp_norm,
                    &block.mlp_post_norm,
                ];
                let (gated, ups) = match &block.mlp {
                    FeedForward::Gated(mlp) => (true, mlp.projections.len()),
                    FeedForward::Plain(_) => (false, 1),
                };
                (gated, ups, norms.into_iter().flatten().count())
            }
            None => (false, 1, plain.norms),
        };
        Self {
            queries: sizes.heads * sizes.d_head,
            keys: sizes.kv_heads * sizes.d_head,
            gated,
            ups,
            norms,
            rotary,
            head_norms: sizes.query_key_norm.is_some(),
            ..plain
        }
    }

    fn plain(d_model: usize, d_ff: usize, heads: usize) -> Self {
        Self {
            d_model,
            queries: d_model,
            keys: d_model,
            d_ff,
            heads,
            gated: false,
            ups: 1,
            norms: 2,
            rotary: false,
            head_norms: false,
        }
    }

    /// The role of the layer at a place among `layers` of a block.
    pub(super) fn role(&self, place: usize, layers: usize) -> Role {
        let ups = self.ups;
        match layers.saturating_sub(place) {
            0 | 1 => Role::Down,
            left if left <= 1 + ups => Role::Up,
            left if left == 2 + ups => Role::Output,
            _ => Role::Projection,
        }
    }

    /// Numbers of a token that the block keeps.
    pub(super) fn kept(&self, trained: &[Trained], manner: Manner) -> usize {
        let (d, f) = (self.d_model, self.d_ff);
        let either = |kept: bool, width: usize| if kept { width } else { 0 };
        // A norm that is frozen keeps its output, which is what the next layers read; one that trains keeps its input.
        let norms = self.norms * d + either(manner.whole, 2 * d);
        let attention = self.queries + 2 * self.keys + 2 * self.heads;
        let head_norms = either(self.head_norms, self.queries + self.keys);
        let inner = either(self.gated, f) + f;
        // What dropout and the nonlinearity give is made again of what they read.
        let reads_attention =
            manner.whole || trained.iter().any(|layer| layer.role == Role::Output);
        let inputs = either(reads_attention, self.queries);
        let own = |layer: &Trained| {
            let output = either(manner.scales && !self.keeps_output(layer), layer.d_out);
            layer.rank + output
        };
        norms + attention + head_norms + inner + inputs + trained.iter().map(own).sum::<usize>()
    }

    /// Whether what follows a layer keeps its output anyway.
    fn keeps_output(&self, layer: &Trained) -> bool {
        match layer.role {
            Role::Up => true,
            Role::Projection => layer.place == 2 || !(self.rotary || self.head_norms),
            Role::Output | Role::Down => false,
        }
    }

    /// Numbers of a token that the backward pass of the block makes beside what was kept. Where that is rounded, the widest of it is there as it
    /// was too, and its gradient rounded.
    pub(super) fn worked_on(&self, rounded: bool) -> usize {
        let usual = 2 * self.d_model + if self.gated { 3 } else { 2 } * self.d_ff;
        match rounded {
            true => usual + self.d_ff + self.d_ff / 2,
            false => usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: BlockShape = BlockShape {
        d_model: 8,
        queries: 8,
        keys: 4,
        d_ff: 20,
        heads: 2,
        gated: true,
        ups: 2,
        norms: 2,
        rotary: true,
        head_norms: false,
    };

    fn trained(shape: &BlockShape, layers: usize, places: &[usize]) -> Vec<Trained> {
        let at = |place: &usize| Trained {
            role: shape.role(*place, layers),
            place: *place,
            d_out: 8,
            rank: 3,
        };
        places.iter().map(at).collect()
    }

    #[test]
    fn layers_have_their_roles_by_their_place() {
        let roles = |shape: BlockShape, layers| (0..layers).map(move |at| shape.role(at, layers));
        let (p, o, u, d) = (Role::Projection, Role::Output, Role::Up, Role::Down);
        assert!(roles(LLAMA, 7).eq([p, p, p, o, u, u, d]));
        assert!(roles(BlockShape::plain(8, 32, 2), 6).eq([p, p, p, o, u, d]));
        // GPT-2 has its projections in one layer.
        assert!(roles(BlockShape::plain(8, 32, 2), 4).eq([p, o, u, d]));
    }

    #[test]
    fn inputs_are_kept_once_and_where_something_reads_them() {
        let attention = 8 + 2 * 4 + 4;
        let kept = |places: &[usize], manner| LLAMA.kept(&trained(&LLAMA, 7, places), manner);
        let usual = Manner::default();
        let bare = 2 * 8 + attention + 2 * 20;
        assert_eq!(kept(&[], usual), bare);
        // Norms keep what projections and the way up read, the gate what the way down reads.
        assert_eq!(kept(&[0, 2, 4, 6], usual), bare + 4 * 3);
        assert_eq!(kept(&[0, 1, 2, 3, 4, 5, 6], usual), bare + 8 + 7 * 3);
        let whole = Manner {
            whole: true,
            ..usual
        };
        assert_eq!(kept(&[], whole), bare + 2 * 8 + 8);
        let scales = Manner {
            scales: true,
            ..usual
        };
        assert_eq!(kept(&[0, 2], scales), kept(&[0, 2], usual) + 8);
    }

    #[test]
    fn frozen_layer_norms_share_their_output_with_the_next_layer() {
        let bert = BlockShape::plain(8, 32, 2);
        let kept = |places: &[usize], manner| bert.kept(&trained(&bert, 6, places), manner);
        let bare = 2 * 8 + 3 * 8 + 4 + 32;
        assert_eq!(kept(&[0, 2, 4], Manner::default()), bare + 3 * 3);
        let whole = Manner {
            whole: true,
            ..Manner::default()
        };
        // The way down's input is made again.
        assert_eq!(kept(&[], whole), bare + 2 * 8 + 8);
    }
}
