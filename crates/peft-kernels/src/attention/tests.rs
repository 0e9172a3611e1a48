//! Attention against f64 and against the composition: grouped heads, biases of every shape, dropout, views, several tiles.

mod cap;
mod case;
#[cfg(feature = "cube")]
mod cube;
mod dropout;
mod ranges;

use burn::tensor::Device;
use proptest::prelude::*;

use super::{Attention, KeyRanges, attention, composed};
use crate::testing::{assert_close, device, fused_devices, other_devices, tensor, values, wide};
use case::{ABSOLUTE, Case, HIDDEN, RELATIVE, Sizes};

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
        mask: case.mask(&plain),
        dropout: None,
    };
    assert_eq!(values(attention(query, key, value, how)), expected);
}

#[test]
fn nan_stays_with_its_sequence() {
    let mut case = Case::new([2, 2, 2, 4, 4, 4], 12);
    case.key[5] = f32::NAN; // the first head of the first sequence
    for device in fused_devices() {
        // The output, and the gradients of queries and of keys.
        let [y, d_query, d_key, _] = case.run(&device, false, None, attention);
        for values in [y, d_query, d_key] {
            assert!(values[..16].iter().all(|value| value.is_nan()));
            assert!(values[16..].iter().all(|value| value.is_finite()));
        }
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
