//! Attention against f64 and against the composition: grouped heads, biases of every shape, dropout, views, several tiles.

mod cap;
#[cfg(feature = "cube")]
mod cube;
mod dropout;

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::{Attention, attention, composed};
use crate::testing::{
    assert_close, device, fused_devices, noise, other_devices, slack, tensor, values, wide,
};

/// Sums of up to 200 products of weights, which sum up to 1, with values of at most 1; gradients add a few such sums.
const ABSOLUTE: f64 = 2e-5;
const RELATIVE: f64 = 2e-5;
const HIDDEN: f32 = -3.0e4;

/// Sizes: sequences, heads of queries, heads of keys, queries, keys, width of a head.
type Sizes = [usize; 6];

struct Case {
    sizes: Sizes,
    scale: f64,
    cap: Option<f64>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    bias: Option<(Vec<f32>, [usize; 4])>,
    cotangent: Vec<f32>,
}

impl Case {
    fn new(sizes: Sizes, seed: u64) -> Self {
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
            cotangent: draw(4, batch * heads * queries * d, 1.0),
        }
    }

    /// With a bias of this shape in which about a quarter of the keys is hidden, never the first: beside -3e4 a score of f32 has no
    /// digits behind the point.
    fn with_bias(mut self, shape: [usize; 4], seed: u64) -> Self {
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

    /// With the bias of a causal mask and a window.
    fn causal(mut self, window: usize) -> Self {
        let [_, _, _, queries, keys, _] = self.sizes;
        let visible = |query: usize, key: usize| key <= query && key + window > query;
        let place = |at: usize| visible(at / keys + keys - queries, at % keys);
        let value = |at: usize| if place(at) { 0.0 } else { HIDDEN };
        let values = (0..queries * keys).map(value).collect();
        self.bias = Some((values, [1, 1, queries, keys]));
        self
    }

    fn bias_at(&self, [sequence, head, query, key]: [usize; 4]) -> f64 {
        self.bias.as_ref().map_or(0.0, |(values, shape)| {
            let at = [sequence, head, query, key];
            let index = (0..4).fold(0, |index, axis| {
                index * shape[axis] + at[axis].min(shape[axis] - 1)
            });
            f64::from(values[index])
        })
    }

    /// The output and the gradients of queries, keys and values in f64, without dropout.
    fn reference(&self) -> [Vec<f64>; 4] {
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
    fn run(
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
            bias: self
                .bias
                .as_ref()
                .map(|(values, shape)| tensor(values, *shape, device)),
            dropout,
        };
        let y = f(view(&query), view(&key), view(&value), how);
        let cotangent = tensor(&self.cotangent, [batch, heads, queries, d], device);
        let grads = (y.clone() * cotangent).sum().backward();
        let of = |x: Tensor<4>| values(x.grad(&grads).expect("a gradient"));
        [values(y), of(query), of(key), of(value)]
    }

    fn check(&self, device: &Device) {
        let (expected, slack) = (self.reference(), slack(device));
        for views in [false, true] {
            let found = self.run(device, views, None, attention);
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(found, expected, slack * ABSOLUTE, slack * RELATIVE);
            }
        }
    }

    /// The same on every device with kernels.
    fn check_fused(&self) {
        for device in fused_devices() {
            self.check(&device);
        }
    }
}

/// Without a bias, and with one that is shared along some axes.
fn check_with_and_without_bias(sizes: Sizes, shared: [bool; 3], seed: u64, device: &Device) {
    let [batch, heads, _, queries, keys, _] = sizes;
    Case::new(sizes, seed).check(device);
    let full = [batch, heads, queries];
    let [b, h, q] = std::array::from_fn(|axis| if shared[axis] { 1 } else { full[axis] });
    Case::new(sizes, seed)
        .with_bias([b, h, q, keys], seed)
        .check(device);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn output_and_gradients_are_those_of_the_formula(
        batch in 1_usize..4, kv_heads in 1_usize..4, group in 1_usize..4,
        queries in 1_usize..30, keys in 1_usize..30, d in 1_usize..20,
        shared in prop::array::uniform3(any::<bool>()), seed: u64,
    ) {
        let sizes = [batch, kv_heads * group, kv_heads, queries, keys, d];
        check_with_and_without_bias(sizes, shared, seed, &device());
    }
}

/// The reference's own gradients, by central differences of its output in f64.
#[test]
fn gradients_are_finite_differences() {
    const STEP: f32 = 1.0 / 1024.0;
    let base = || Case::new([1, 2, 1, 3, 4, 2], 21).causal(3);
    let objective = |case: &Case| -> f64 {
        let [y, ..] = case.reference();
        y.iter()
            .zip(wide(&case.cotangent))
            .map(|(y, g)| y * g)
            .sum()
    };
    let [_, d_query, d_key, d_value] = base().reference();
    type Input = fn(&mut Case) -> &mut Vec<f32>;
    let inputs: [Input; 3] = [
        |case| &mut case.query,
        |case| &mut case.key,
        |case| &mut case.value,
    ];
    for (input, gradient) in inputs.into_iter().zip([d_query, d_key, d_value]) {
        for (at, expected) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut case = base();
                let value = &mut input(&mut case)[at];
                *value += by;
                (f64::from(*value), objective(&case))
            };
            let ((above, high), (below, low)) = (moved(STEP), moved(-STEP));
            let slope = (high - low) / (above - below);
            assert!(
                (slope - expected).abs() < 1e-5,
                "at {at}: {slope} is not {expected}"
            );
        }
    }
}

#[test]
fn many_keys_go_in_several_tiles() {
    Case::new([1, 2, 1, 50, 3000, 4], 1).check_fused();
    Case::new([2, 2, 2, 150, 900, 8], 2)
        .with_bias([2, 1, 1, 900], 3)
        .check_fused();
}

#[test]
fn hidden_keys_are_as_if_they_were_not_there() {
    for window in [1000, 7] {
        Case::new([2, 4, 2, 130, 130, 8], 4)
            .causal(window)
            .check_fused();
        Case::new([1, 2, 2, 3, 40, 8], 5)
            .causal(window)
            .check_fused();
    }
}

#[test]
fn a_query_that_sees_no_key_has_equal_weights() {
    let mut case = Case::new([1, 1, 1, 2, 3, 2], 6);
    let bias = vec![HIDDEN, HIDDEN, HIDDEN, 0.0, HIDDEN, HIDDEN];
    case.bias = Some((bias, [1, 1, 2, 3]));
    case.query.fill(0.0);
    let mean = |i: usize| (case.value[i] + case.value[2 + i] + case.value[4 + i]) / 3.0;
    let expected = [mean(0), mean(1), case.value[0], case.value[1]];
    for device in fused_devices() {
        let [y, ..] = case.run(&device, false, None, attention);
        assert_close(&y, &wide(&expected), 1e-6, 0.0);
    }
}

#[test]
fn other_backends_agree() {
    for device in other_devices() {
        Case::new([2, 4, 2, 5, 6, 3], 10)
            .with_bias([2, 1, 1, 6], 1)
            .check(&device.autodiff());
    }
}

#[test]
fn without_autodiff_the_output_is_the_same() {
    let case = Case::new([2, 2, 2, 20, 20, 8], 11).causal(1000);
    let [expected, ..] = case.run(&device(), false, None, attention);
    let plain = Device::flex();
    let [query, key, value] =
        [&case.query, &case.key, &case.value].map(|x| tensor(x, [2, 2, 20, 8], &plain));
    let how = Attention {
        scale: case.scale,
        cap: None,
        bias: case
            .bias
            .map(|(values, shape)| tensor(&values, shape, &plain)),
        dropout: None,
    };
    assert_eq!(values(attention(query, key, value, how)), expected);
}

#[test]
fn nan_stays_with_its_sequence() {
    let mut case = Case::new([2, 2, 2, 4, 4, 4], 12);
    case.key[5] = f32::NAN; // the first head of the first sequence
    for device in fused_devices() {
        let [y, ..] = case.run(&device, false, None, attention);
        assert!(y[..16].iter().all(|value| value.is_nan()));
        assert!(y[16..].iter().all(|value| value.is_finite()));
    }
}

#[cfg(feature = "flex")]
#[test]
fn every_number_of_threads_gives_the_same_bytes() {
    let case = Case::new([3, 4, 2, 60, 60, 16], 13).causal(1000);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| case.run(&device(), true, Some((0.1, 5)), attention))
    };
    assert!(run(1) == run(2) && run(1) == run(5));
}
