//! Scaled dot-product attention: `softmax(scale Q K^T + mask) V` for every head, with dropout of the weights.

use burn::tensor::{Device, Tensor};

use crate::soft_cap::soft_capped;

pub use mask::{AttentionMask, KeyRanges};

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod mask;
#[cfg(test)]
mod tests;

/// How scores become weights.
#[derive(Debug, Clone)]
pub struct Attention {
    /// Factor of the scores.
    pub scale: f64,
    /// Bound `c` of the scores before the mask, `c tanh(s / c)`, if any. Bounded scores have no kernel in CubeCL.
    pub cap: Option<f64>,
    /// Which keys the queries see; all where there is none.
    pub mask: Option<AttentionMask>,
    /// Probability that a weight is dropped, and what decides the mask; see [`crate::dropout`].
    pub dropout: Option<(f64, u64)>,
}

impl Attention {
    /// Whether the kernel of a device, for heads of this width, goes over no key that none of a few neighbouring queries sees. Then texts
    /// can stand one behind the other in a row, with ranges for a mask, where else each would have a row that is padded to the longest.
    #[must_use]
    pub fn skips_unseen_keys(&self, d_head: usize, device: &Device) -> bool {
        #[cfg(feature = "flex")]
        if flex::takes(self, device) {
            return true;
        }
        #[cfg(feature = "cube")]
        if cube::takes(self, cube::Masked::ByRanges, d_head, device) {
            return true;
        }
        let _ = (d_head, device);
        false
    }
}

/// `dropout(softmax(scale Q K^T + mask)) V` per head; each head of keys and values serves `heads / kv_heads` consecutive heads of queries.
///
/// The fused path (f32 on flex) holds the weights of a few queries at a time. For the backward it keeps the three inputs and two numbers
/// per query, and computes the weights again. Keys behind the last that any of those queries sees cost nothing, nor do those before the
/// first.
///
/// # Shapes
/// `query [batch, heads, queries, d_head]`, `key` and `value [batch, kv_heads, keys, d_head]`; output like `query`, the heads of a token
/// side by side in memory.
///
/// # Panics
/// When the shapes do not agree, or those of the mask do not broadcast to the scores.
#[must_use]
pub fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, how: Attention) -> Tensor<4> {
    check(&query, &key, &value, how.mask.as_ref());
    #[cfg(feature = "flex")]
    let (query, key, value, how) = match flex::attention(query, key, value, how) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    #[cfg(feature = "cube")]
    let (query, key, value, how) = match cube::attention(query, key, value, how) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    composed(query, key, value, how)
}

/// The same from Burn's operations.
fn composed(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, how: Attention) -> Tensor<4> {
    let ([batch, heads, queries, d], [_, kv_heads, keys, _]) = (query.dims(), key.dims());
    // Queries that share a key stand below one another, so that no key is repeated.
    let rows = heads / kv_heads * queries;
    let query = query.reshape([batch, kv_heads, rows, d]);
    let scores = query.matmul(key.swap_dims(2, 3));
    let scores = scores.reshape([batch, heads, queries, keys]);
    let (scores, scale) = match how.cap {
        Some(cap) => (soft_capped(scores.mul_scalar(how.scale), cap), 1.0),
        None => (scores, how.scale),
    };
    let bias = how.mask.map(|mask| match mask {
        AttentionMask::Bias(bias) => bias,
        AttentionMask::Ranges(ranges) => ranges.bias(scores.dtype().into()),
    });
    let weights = crate::attention_softmax(scores, scale, bias);
    let weights = match how.dropout {
        Some((probability, seed)) => crate::dropout(weights, probability, seed),
        None => weights,
    };
    let weights = weights.reshape([batch, kv_heads, rows, keys]);
    weights.matmul(value).reshape([batch, heads, queries, d])
}

fn check(query: &Tensor<4>, key: &Tensor<4>, value: &Tensor<4>, mask: Option<&AttentionMask>) {
    let ([batch, heads, queries, d], [_, kv_heads, keys, _]) = (query.dims(), key.dims());
    let expected = [batch, kv_heads, keys, d];
    assert!(
        key.dims() == expected
            && value.dims() == expected
            && kv_heads > 0
            && heads.is_multiple_of(kv_heads),
        "attention: queries {:?}, keys {:?}, values {:?}; all must agree, and the heads of queries be a multiple of those of keys",
        query.dims(),
        key.dims(),
        value.dims(),
    );
    let given = mask.map(|mask| match mask {
        AttentionMask::Bias(bias) => bias.dims(),
        AttentionMask::Ranges(ranges) => {
            let [sequences, of_queries, of_keys] = ranges.dims();
            assert!(
                of_queries == queries,
                "attention: ranges of {of_queries} queries for {queries}"
            );
            [sequences, 1, of_queries, of_keys]
        }
    });
    if let Some(given) = given {
        let full = [batch, heads, queries, keys];
        assert!(
            given[3] == keys && (0..3).all(|axis| given[axis] == full[axis] || given[axis] == 1),
            "attention: a mask {given:?} does not broadcast to scores {full:?}"
        );
    }
}
