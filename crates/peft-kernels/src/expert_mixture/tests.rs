//! Mixtures of experts against f64 and the composition, with credits that are not the weights, with dropout, and at the edges.

mod case;
#[cfg(feature = "flex")]
mod dropped;

use burn::tensor::{DType, Device, Tensor};
use proptest::prelude::*;

use super::{Experts, Routing, expert_mixture, expert_mixture_dense};
use crate::testing::{device, other_devices, rows_and_width, values};
use case::{Case, Sizes};

/// Sizes with every expert chosen, one expert chosen, single rows, odd widths, more rows than one task has.
fn sizes() -> impl Strategy<Value = Sizes> {
    (rows_and_width(), 1_usize..70, 1_usize..8, 1_usize..12).prop_flat_map(
        |((rows, d_in), d_out, experts, rank)| {
            (1..=experts).prop_map(move |slots| Sizes {
                rows,
                d_in,
                d_out,
                experts,
                rank,
                slots,
            })
        },
    )
}

/// Five experts of rank 3, two of which are chosen.
const SMALL: Sizes = Sizes {
    rows: 9,
    d_in: 21,
    d_out: 10,
    experts: 5,
    rank: 3,
    slots: 2,
};

proptest! {
    #[test]
    fn output_and_all_gradients_equal_f64_and_the_composition(sizes in sizes(), seed: u64) {
        let case = Case::new(sizes, seed);
        case.assert_close(&case.run(&device(), expert_mixture));
        case.assert_close(&case.run(&device(), expert_mixture_dense));
    }

    #[test]
    fn with_the_weights_as_credits_the_gradients_are_those_of_the_function(sizes in sizes(), seed: u64) {
        let case = Case::new(sizes, seed).credited_by_weights();
        case.assert_slopes();
    }
}

#[test]
fn an_expert_that_no_row_chose_gets_zeros() {
    let mut case = Case::new(SMALL, 4);
    case.chosen = (0..SMALL.rows).flat_map(|_| [4, 1]).collect();
    let [_, _, d_a, d_b, _] = case.run(&device(), expert_mixture);
    let (width, rank) = (SMALL.experts * SMALL.rank, SMALL.rank);
    for (i, value) in d_a.iter().enumerate() {
        assert_eq!(*value != 0.0, [1, 4].contains(&(i % width / rank)));
    }
    for (i, value) in d_b.iter().enumerate() {
        assert_eq!(*value != 0.0, [1, 4].contains(&(i / SMALL.d_out / rank)));
    }
}

#[test]
fn only_what_requires_gradients_gets_them_and_the_same_ones() {
    let case = Case::new(SMALL, 5);
    let all = case.run(&device(), expert_mixture);
    for alone in 0..4 {
        let mut inputs = case.inputs(&device());
        inputs[alone] = inputs[alone].clone().require_grad();
        let y = case.apply(&inputs, expert_mixture);
        let grads = (y * case.cotangent(&device())).sum().backward();
        for (at, input) in inputs.iter().enumerate() {
            let grad = input.grad(&grads).map(values);
            assert_eq!(grad.as_ref(), (at == alone).then_some(&all[at + 1]));
        }
    }
}

#[test]
fn nothing_follows_the_credits() {
    for mixture in [expert_mixture, expert_mixture_dense] {
        let case = Case::new(SMALL, 6);
        let [x, a, b, weights] = case.inputs(&device()).map(Tensor::require_grad);
        let credits = case.credits(&device()).require_grad();
        let experts = Experts { a, b, count: 5 };
        let routing = Routing {
            weights,
            credits: credits.clone(),
            chosen: case.chosen(&device()),
        };
        let grads = mixture(x, experts, routing, None).sum().backward();
        assert!(credits.grad(&grads).is_none());
    }
}

#[cfg(feature = "flex")]
#[test]
fn nothing_is_recorded_when_nothing_requires_gradients() {
    let case = Case::new(SMALL, 7);
    let inputs = case.inputs(&device());
    assert!(!crate::testing::is_tracked(
        case.apply(&inputs, expert_mixture)
    ));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let sizes = Sizes {
        rows: 700,
        d_in: 300,
        ..SMALL
    };
    let mut case = Case::new(sizes, 8);
    case.dropout = cfg!(feature = "flex").then_some((0.2, 3));
    let run = || case.run(&device(), expert_mixture);
    let single = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(run(), single.install(run));
}

#[test]
fn nan_fills_its_row_and_no_other() {
    let mut case = Case::new(SMALL, 9);
    case.x[3 * SMALL.d_in + 7] = f32::NAN;
    for dropout in [None, Some((0.5, 1))] {
        case.dropout = dropout;
        let y = values(case.apply(&case.inputs(&Device::flex()), expert_mixture));
        for (row, values) in y.chunks_exact(SMALL.d_out).enumerate() {
            assert!(values.iter().all(|v| v.is_nan() == (row == 3)));
        }
    }
}

#[test]
fn other_devices_types_and_layouts_work_too() {
    let case = Case::new(SMALL, 10);
    for device in other_devices() {
        case.assert_close(&case.run(&device.autodiff(), expert_mixture));
    }
    let flex = Device::flex();
    let inputs = case.inputs(&flex);
    let expected = case.apply(&inputs, expert_mixture);
    let double = inputs.clone().map(|input| input.cast(DType::F64));
    let double = case.apply(&double, expert_mixture);
    assert_eq!(double.dtype(), DType::F64);
    let permuted = inputs.map(|input| input.transpose().mul_scalar(1.0).transpose());
    let permuted = case.apply(&permuted, expert_mixture);
    for other in [double.cast(DType::F32), permuted] {
        let difference = values((other - expected.clone()).abs().max());
        assert!(difference[0] < 1e-4, "{difference:?}");
    }
}

#[test]
fn choices_may_have_any_integer_type() {
    let case = Case::new(SMALL, 11);
    let y = |dtype: DType| {
        let [x, a, b, weights] = case.inputs(&Device::flex());
        let routing = Routing {
            credits: weights.clone(),
            weights,
            chosen: case.chosen(&Device::flex()).cast(dtype),
        };
        values(expert_mixture(x, Experts { a, b, count: 5 }, routing, None))
    };
    assert_eq!(y(DType::I32), y(DType::I64));
}

#[test]
fn no_rows_give_no_rows() {
    let y = Case::new(Sizes { rows: 0, ..SMALL }, 12);
    let y = y.apply(&y.inputs(&Device::flex()), expert_mixture);
    assert_eq!(y.dims(), [0, SMALL.d_out]);
}

#[cfg(feature = "flex")]
#[test]
#[should_panic(expected = "a row chose expert 5 of 5")]
fn an_expert_that_there_is_not_is_refused() {
    let mut case = Case::new(SMALL, 13);
    case.chosen[3] = 5;
    let _ = case.apply(&case.inputs(&Device::flex()), expert_mixture);
}

#[test]
#[should_panic(expected = "x has rows of 21, a [22, 15], b [15, 10], for 5 experts")]
fn factors_of_another_width_are_refused() {
    let case = Case::new(SMALL, 14);
    let mut inputs = case.inputs(&Device::flex());
    inputs[1] = Tensor::ones([22, 15], &Device::flex());
    let _ = case.apply(&inputs, expert_mixture);
}

#[test]
#[should_panic(expected = "x has 9 rows, weights [9, 3], credits [9, 2], chosen [9, 2]")]
fn weights_of_another_shape_are_refused() {
    let case = Case::new(SMALL, 15);
    let mut inputs = case.inputs(&Device::flex());
    inputs[3] = Tensor::ones([9, 3], &Device::flex());
    let _ = case.apply(&inputs, expert_mixture);
}
