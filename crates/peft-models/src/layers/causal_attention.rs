//! Causal self-attention with grouped queries, rotary positions and a cache of keys and values.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use peft_core::{AdaptedLinear, Pass};
use peft_kernels::{Attention, AttentionMask, KeyRanges, attention};

use super::norm::RmsNorm;
use super::rope::Rotation;
use crate::decoder_config::DecoderConfig;

/// Keys and values of one layer so far, shape `[batch, kv_heads, seq, d_head]` each.
#[derive(Debug, Clone, Default)]
pub struct LayerCache(Option<(Tensor<4>, Tensor<4>)>);

impl LayerCache {
    /// Appends the newest keys and values; gives all of them.
    fn extend(&mut self, key: Tensor<4>, value: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let (key, value) = match self.0.take() {
            Some((keys, values)) => (
                Tensor::cat(vec![keys, key], 2),
                Tensor::cat(vec![values, value], 2),
            ),
            None => (key, value),
        };
        self.0 = Some((key.clone(), value.clone()));
        (key, value)
    }
}

/// What a layer of attention is told about the batch.
#[derive(Debug)]
pub struct AttentionContext<'a> {
    /// Tokens per row.
    pub seq: usize,
    /// The keys that each token sees; all where there is none.
    pub seen: Option<&'a KeyRanges>,
    /// Turns queries and keys, in families with rotary positions.
    pub rotation: Option<&'a Rotation>,
    /// Keys and values of earlier tokens.
    pub cache: Option<&'a mut LayerCache>,
}

/// Numbers and widths of heads, and how their scores become weights.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Queries.
    pub heads: usize,
    /// Keys and values.
    pub kv_heads: usize,
    /// Width of each.
    pub d_head: usize,
    /// Factor of the scores.
    pub scale: f64,
    /// Bound of the scores, if any.
    pub cap: Option<f64>,
    /// Dropout of the weights.
    pub dropout: f64,
}

impl Heads {
    pub(crate) fn of(config: &DecoderConfig) -> Self {
        Self {
            heads: config.heads,
            kv_heads: config.kv_heads,
            d_head: config.d_head,
            scale: config.scales.attention,
            cap: config.attention_cap,
            dropout: config.attention_dropout,
        }
    }

    /// Whether texts may stand one behind the other in a row: keys of other texts cost nothing on this device.
    pub(crate) fn skip_unseen_keys(&self, device: &Device) -> bool {
        let dropout = (self.dropout > 0.0).then_some((self.dropout, 0));
        self.attention(None, dropout)
            .skips_unseen_keys(self.d_head, device)
    }

    fn attention(&self, mask: Option<AttentionMask>, dropout: Option<(f64, u64)>) -> Attention {
        Attention {
            scale: self.scale,
            cap: self.cap,
            mask,
            dropout,
        }
    }
}

/// `softmax(scale Q K^T + mask) V`, heads side by side, then the output projection; each of the `kv_heads` keys and values serves `heads /
/// kv_heads` queries.
#[derive(Module, Debug)]
pub struct CausalAttention {
    /// `d_model` to queries, keys and values: a layer each, or one layer for the three, side by side in this order.
    pub projections: Vec<AdaptedLinear>,
    /// `heads * d_head` to `d_model`.
    pub output: AdaptedLinear,
    /// Norms of queries and keys, where the family has them: of each head, or of all heads together, as wide as they are.
    pub query_norm: Option<RmsNorm>,
    /// See `query_norm`.
    pub key_norm: Option<RmsNorm>,
    #[module(skip)]
    heads: Heads,
}

impl CausalAttention {
    /// Attention of these heads.
    #[must_use]
    pub fn new(
        projections: Vec<AdaptedLinear>,
        output: AdaptedLinear,
        norms: Option<(RmsNorm, RmsNorm)>,
        heads: Heads,
    ) -> Self {
        let (query_norm, key_norm) = norms.unzip();
        Self {
            projections,
            output,
            query_norm,
            key_norm,
            heads,
        }
    }

    /// Attends within each row.
    ///
    /// # Shapes
    /// `x [batch * seq, d_model]`, output alike.
    #[must_use]
    pub fn forward(
        &self,
        x: Tensor<2>,
        context: AttentionContext<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let (rows, seq) = (x.dims()[0], context.seq);
        let batch = rows / seq;
        let [query, key, value] = self.project(x, batch, seq, pass);
        let turned = |x: Tensor<4>| match context.rotation {
            Some(rotation) => rotation.apply(x),
            None => x,
        };
        let (query, key) = (turned(query), turned(key));
        let (key, value) = match context.cache {
            Some(cache) => cache.extend(key, value),
            None => (key, value),
        };
        let seen = context.seen.cloned().map(AttentionMask::Ranges);
        let how = self.heads.attention(seen, pass.mask(self.heads.dropout));
        let joined = attention(query, key, value, how)
            .swap_dims(1, 2)
            .reshape([rows, self.heads.heads * self.heads.d_head]);
        self.output.forward(joined, pass)
    }

    /// Queries `[batch, heads, seq, d_head]`, keys and values `[batch, kv_heads, seq, d_head]`.
    fn project(
        &self,
        x: Tensor<2>,
        batch: usize,
        seq: usize,
        pass: &mut Pass<'_>,
    ) -> [Tensor<4>; 3] {
        let Heads {
            heads,
            kv_heads,
            d_head: d,
            ..
        } = self.heads;
        let split = |y: Tensor<2>, heads: usize| y.reshape([batch, seq, heads, d]).swap_dims(1, 2);
        let (query, key, value) = match self.projections.as_slice() {
            [query, key, value] => (
                query.forward(x.clone(), pass),
                key.forward(x.clone(), pass),
                value.forward(x, pass),
            ),
            fused => {
                let all = fused[0].forward(x, pass);
                let (queries, keys) = (heads * d, kv_heads * d);
                (
                    all.clone().narrow(1, 0, queries),
                    all.clone().narrow(1, queries, keys),
                    all.narrow(1, queries + keys, keys),
                )
            }
        };
        [
            split(normed(&self.query_norm, query), heads),
            split(normed(&self.key_norm, key), kv_heads),
            split(value, kv_heads),
        ]
    }

    /// The layers in the order of the model: projections, output.
    pub fn linears(&self) -> impl Iterator<Item = &AdaptedLinear> {
        self.projections.iter().chain([&self.output])
    }

    /// The layers, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut AdaptedLinear> {
        self.projections.iter_mut().chain([&mut self.output])
    }
}

/// Normalises as many neighbours at a time as the norm is wide.
fn normed(norm: &Option<RmsNorm>, y: Tensor<2>) -> Tensor<2> {
    let Some(norm) = norm else {
        return y;
    };
    let ([rows, columns], width) = (y.dims(), norm.width());
    let parts = y.reshape([rows * columns / width, width]);
    norm.forward(parts).reshape([rows, columns])
}
