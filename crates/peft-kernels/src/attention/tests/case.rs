//! An attention with its inputs, and what it is in f64.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use super::cap;
use crate::attention::{Attention, AttentionMask, KeyRanges, attention};
use crate::testing::{assert_close, fused_devices, noise, slack, tensor, values, wide};

/// Sums of up to 200 products of weights, which sum up to 1, with values of at most 1; gradients add a few such sums.
pub(super) const ABSOLUTE: f64 = 2e-5;
pub(super) const RELATIVE: f64 = 2e-5;
pub(super) const HIDDEN: f32 = -3.0e4;

/// Sizes: sequences, heads of queries, heads of keys, queries, keys, width of a head.
pub(super) type Sizes = [usize; 6];

pub(super) struct Case {
    pub(super) sizes: Sizes,
    pub(super) scale: f64,
    pub(super) cap: Option<f64>,
    pub(super) query: Vec<f32>,
    pub(super) key: Vec<f32>,
    pub(super) value: Vec<f32>,
    pub(super) bias: Option<(Vec<f32>, [usize; 4])>,
    /// The keys that each query of each sequence sees.
    pub(super) ranges: Option<Vec<Vec<Range<usize>>>>,
    pub(super) cotangent: Vec<f32>,
}

impl Case {
    pub(super) fn new(sizes: Sizes, seed: u64) -> Self {
        let [batch, heads, kv_heads, queries, keys, d] = sizes;
        let draw = |at: u64, count: usize, range: f32| noise(seed ^ at, count, range);
        Self {
            sizes,
            scale: 0.7,
            cap: None,
            query: draw(1, batch * heads * queries * d, 2.0),
            key: draw(2, batch * kv_heads * keys * d, 2.0),
            value: draw(3, batch * kv_heads * keys * d, 1.0),
            bias: None,
            ranges: None,
            cotangent: draw(4, batch * heads * queries * d, 1.0),
        }
    }

    /// With a bias of this shape in which about a quarter of the keys is hidden, never the first: beside -3e4 a score of f32 has no
    /// digits behind the point.
    pub(super) fn with_bias(mut self, shape: [usize; 4], seed: u64) -> Self {
        let count = shape.iter().product();
        let hide = |(at, x): (usize, f32)| match at % shape[3] {
            0 => x,
            _ if x > 0.5 => HIDDEN,
            _ => x,
        };
        let bias = noise(seed ^ 9, count, 1.0).into_iter().enumerate();
        self.bias = Some((bias.map(hide).collect(), shape));
        self
    }

    /// With a causal mask and a window, as a bias.
    pub(super) fn causal(self, window: usize) -> Self {
        self.causal_ranges(window, 0).with_ranges_as_bias()
    }

    /// The same as ranges; sequence after sequence sees `less` keys less at their beginning, and its first queries themselves alone.
    pub(super) fn causal_ranges(mut self, window: usize, less: usize) -> Self {
        let [batch, _, _, queries, keys, _] = self.sizes;
        let range = |sequence: usize, query: usize| {
            let end = query + keys - queries + 1;
            let first = end.saturating_sub(window).max(sequence * less);
            first.min(end - 1)..end
        };
        let of_one = |at| (0..queries).map(|query| range(at, query)).collect();
        self.ranges = Some((0..batch).map(of_one).collect());
        self
    }

    /// With texts of these lengths one behind the other in each sequence, every token of which sees its text up to itself.
    pub(super) fn texts(mut self, lengths: &[usize]) -> Self {
        let mut ranges = Vec::new();
        for length in lengths {
            let start = ranges.len();
            ranges.extend((start..start + length).map(|token| start..token + 1));
        }
        self.ranges = Some(vec![ranges; self.sizes[0]]);
        self
    }

    pub(super) fn with_ranges_as_bias(mut self) -> Self {
        let [batch, _, _, queries, keys, _] = self.sizes;
        let ranges = self.ranges.take().expect("ranges");
        let ranges = ranges.iter().flatten();
        let values = ranges.flat_map(|range| {
            let seen = move |key| if range.contains(&key) { 0.0 } else { HIDDEN };
            (0..keys).map(seen)
        });
        self.bias = Some((values.collect(), [batch, 1, queries, keys]));
        self
    }

    pub(super) fn mask(&self, device: &Device) -> Option<AttentionMask> {
        let [_, _, _, _, keys, _] = self.sizes;
        let bias = self
            .bias
            .as_ref()
            .map(|(values, shape)| tensor(values, *shape, device));
        let ranges = self
            .ranges
            .as_ref()
            .map(|of| KeyRanges::new(of, keys, device));
        bias.map(AttentionMask::Bias)
            .or(ranges.map(AttentionMask::Ranges))
    }

    pub(super) fn bias_at(&self, [sequence, head, query, key]: [usize; 4]) -> f64 {
        if let Some(ranges) = &self.ranges {
            let seen = ranges[sequence][query].contains(&key);
            return if seen { 0.0 } else { f64::from(HIDDEN) };
        }
        self.bias.as_ref().map_or(0.0, |(values, shape)| {
            let at = [sequence, head, query, key];
            let index = (0..4).fold(0, |index, axis| {
                index * shape[axis] + at[axis].min(shape[axis] - 1)
            });
            f64::from(values[index])
        })
    }

    /// The output and the gradients of queries, keys and values in f64, without dropout.
    pub(super) fn reference(&self) -> [Vec<f64>; 4] {
        let [batch, heads, kv_heads, queries, keys, d] = self.sizes;
        let [q, k, v, g] = [&self.query, &self.key, &self.value, &self.cotangent].map(|x| wide(x));
        let mut found = [
            vec![0.0; q.len()],
            vec![0.0; q.len()],
            vec![0.0; k.len()],
            vec![0.0; v.len()],
        ];
        for (sequence, head, query) in (0..batch * heads * queries)
            .map(|at| (at / queries / heads, at / queries % heads, at % queries))
        {
            let of_query = ((sequence * heads + head) * queries + query) * d;
            let kv_head = head / (heads / kv_heads);
            let of_key = |key: usize| ((sequence * kv_heads + kv_head) * keys + key) * d;
            let dot = |a: &[f64], at: usize, b: &[f64], bt: usize| -> f64 {
                (0..d).map(|i| a[at + i] * b[bt + i]).sum()
            };
            let bounded: Vec<f64> = (0..keys)
                .map(|key| cap::bounded(self.cap, self.scale * dot(&q, of_query, &k, of_key(key))))
                .collect();
            let scores: Vec<f64> = (0..keys)
                .map(|key| bounded[key] + self.bias_at([sequence, head, query, key]))
                .collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exps: Vec<f64> = scores.iter().map(|x| (x - largest).exp()).collect();
            let total: f64 = exps.iter().sum();
            let weights: Vec<f64> = exps.iter().map(|e| e / total).collect();
            let slopes: Vec<f64> = (0..keys)
                .map(|key| dot(&g, of_query, &v, of_key(key)))
                .collect();
            let mean: f64 = weights.iter().zip(&slopes).map(|(w, s)| w * s).sum();
            for key in 0..keys {
                let slope = self.scale * weights[key] * (slopes[key] - mean);
                let slope = slope * cap::slope(self.cap, bounded[key]);
                for i in 0..d {
                    found[0][of_query + i] += weights[key] * v[of_key(key) + i];
                    found[1][of_query + i] += slope * k[of_key(key) + i];
                    found[2][of_key(key) + i] += slope * q[of_query + i];
                    found[3][of_key(key) + i] += weights[key] * g[of_query + i];
                }
            }
        }
        found
    }

    /// The output and the gradients, of inputs that are views when asked for: heads of a token side by side.
    pub(super) fn run(
        &self,
        device: &Device,
        views: bool,
        dropout: Option<(f64, u64)>,
        f: fn(Tensor<4>, Tensor<4>, Tensor<4>, Attention) -> Tensor<4>,
    ) -> [Vec<f32>; 4] {
        let [batch, heads, kv_heads, queries, keys, d] = self.sizes;
        let leaf = |values: &[f32], heads: usize, tokens: usize| {
            tensor(values, [batch, heads, tokens, d], device).require_grad()
        };
        let query = leaf(&self.query, heads, queries);
        let key = leaf(&self.key, kv_heads, keys);
        let value = leaf(&self.value, kv_heads, keys);
        let view = |x: &Tensor<4>| match views {
            true => (x.clone().swap_dims(1, 2) + 0.0).swap_dims(1, 2),
            false => x.clone(),
        };
        let how = Attention {
            scale: self.scale,
            cap: self.cap,
            mask: self.mask(device),
            dropout,
        };
        let y = f(view(&query), view(&key), view(&value), how);
        let cotangent = tensor(&self.cotangent, [batch, heads, queries, d], device);
        let grads = (y.clone() * cotangent).sum().backward();
        let of = |x: Tensor<4>| values(x.grad(&grads).expect("a gradient"));
        [values(y), of(query), of(key), of(value)]
    }

    pub(super) fn check(&self, device: &Device) {
        let (expected, slack) = (self.reference(), slack(device));
        for views in [false, true] {
            let found = self.run(device, views, None, attention);
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(found, expected, slack * ABSOLUTE, slack * RELATIVE);
            }
        }
    }

    /// The same on every device with kernels.
    pub(super) fn check_fused(&self) {
        for device in fused_devices() {
            self.check(&device);
        }
    }
}
