//! Attention in CubeCL: that it runs, and every size of its tiles.

use proptest::prelude::*;

use super::{Case, attention, check_with_and_without_bias};
use crate::testing::{assert_runs, cube_device};

#[test]
fn the_kernels_run() {
    let Some(device) = cube_device() else { return };
    let kernels = [
        "attention on cube",
        "attention queries backward on cube",
        "attention keys backward on cube",
    ];
    let case = Case::new([1, 2, 1, 3, 4, 4], 1).causal(1000);
    assert_runs(&kernels, || {
        case.run(&device.autodiff(), false, None, attention);
    });
}

/// Wide heads leave room for small tiles.
#[test]
fn heads_of_any_width_are_as_the_formula() {
    let Some(device) = cube_device() else { return };
    let device = device.autodiff();
    for d in [1, 31, 64, 65, 128, 200, 256] {
        Case::new([1, 2, 1, 35, 37, d], 3)
            .causal(1000)
            .check(&device);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Few widths, for each of which the kernels are compiled.
    #[test]
    fn output_and_gradients_are_those_of_the_formula(
        batch in 1_usize..4, kv_heads in 1_usize..4, group in 1_usize..4,
        queries in 1_usize..80, keys in 1_usize..80, d in prop_oneof![Just(3_usize), Just(18)],
        shared in prop::array::uniform3(any::<bool>()), seed: u64,
    ) {
        if let Some(device) = cube_device() {
            let sizes = [batch, kv_heads * group, kv_heads, queries, keys, d];
            check_with_and_without_bias(sizes, shared, seed, &device.autodiff());
        }
    }
}
