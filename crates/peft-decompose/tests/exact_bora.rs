//! What must hold exactly for BoRA, by construction.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use peft_core::testing::contract;
use peft_core::testing::tiny::{self, Tiny};
use peft_core::testing::tolerance::{ELEMENTWISE, MATMUL, Tolerance, assert_close};
use peft_core::values::set_values;
use peft_core::{AdaptedLinear, Method, ParamNames, Pass, Site, Trainable, select_adapters};
use peft_decompose::bora::{Bora, BoraAdapter, Detach, Order};

use peft_core::testing::case::{gradients, host};
use support::{effective, fresh, moved};

const ORDERS: [Order; 2] = [Order::RowsFirst, Order::ColumnsFirst];
const ROWS: usize = 5;

fn bora(detach: Detach, order: Order) -> Bora {
    Bora {
        detach,
        order,
        ..Bora::default()
    }
}

fn adapter(layer: &AdaptedLinear) -> BoraAdapter {
    let adapter = layer.adapter("default").unwrap();
    adapter.downcast_ref::<BoraAdapter>().unwrap().clone()
}

/// Some loss of the first layer's output.
fn loss(model: &Tiny) -> Tensor<1> {
    let x = tiny::inputs(ROWS, &model.up().weight.val().device());
    let y = model.up().forward(x, &mut Pass::train(0));
    (y - 0.3).powi_scalar(2).mean()
}

/// The gradients of [`loss`] for the first layer's tensors, by their last names.
fn slopes(model: &Tiny, names: &ParamNames) -> BTreeMap<String, Vec<f32>> {
    let grads = GradientsParams::from_grads(loss(model).backward(), model);
    gradients(model, names, &grads)
        .into_iter()
        .filter_map(|(name, grad)| Some((name.strip_prefix("layers.0.up_proj.")?.to_owned(), grad)))
        .collect()
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(l, r)| f64::from(*l) * f64::from(*r))
        .sum()
}

#[test]
fn a_fresh_adapter_gives_the_very_bits_of_the_base() {
    let device = Device::default();
    let (base, _) = Tiny::new(&device);
    let x = tiny::inputs(ROWS, &device);
    let expected = host(base.forward(x.clone(), &mut Pass::eval()));
    for order in ORDERS {
        let (model, _) = fresh(&bora(Detach::Both, order), &device);
        let actual = model.valid().forward(x.clone(), &mut Pass::eval());
        assert_eq!(host(actual), expected, "{order:?}");
    }
}

#[test]
fn the_magnitudes_of_the_last_stage_are_the_norms_of_the_effective_weight() {
    for order in ORDERS {
        let (model, _) = moved(&bora(Detach::Both, order), &Device::default());
        let model = model.valid();
        let adapter = adapter(model.up());
        let (dim, magnitudes) = match order {
            Order::RowsFirst => (1, adapter.columns),
            Order::ColumnsFirst => (0, adapter.rows),
        };
        let weight = effective(model.up());
        let norms = (weight.clone() * weight).sum_dim(dim).sqrt();
        let magnitudes = host(magnitudes.val().abs());
        assert_close("norms", &host(norms), &magnitudes, ELEMENTWISE);
    }
}

#[test]
fn a_positive_factor_of_the_first_magnitudes_changes_nothing() {
    for order in ORDERS {
        let (model, _) = moved(&bora(Detach::Both, order), &Device::default());
        let model = model.valid();
        let before = host(effective(model.up()));
        let adapter = adapter(model.up());
        let first = match order {
            Order::RowsFirst => adapter.rows,
            Order::ColumnsFirst => adapter.columns,
        };
        let scaled = host(first.val() * 3.7);
        let model = set_values(model, BTreeMap::from([(first.id, scaled)]));
        assert_close("weight", &host(effective(model.up())), &before, MATMUL);
    }
}

#[test]
fn the_first_magnitudes_have_no_gradient_along_themselves_unless_norms_are_detached() {
    for order in ORDERS {
        for detach in [Detach::None, Detach::Both] {
            let (model, names) = moved(&bora(detach, order), &Device::default());
            let adapter = adapter(model.up());
            let (name, first) = match order {
                Order::RowsFirst => ("bora_magnitude_rows", adapter.rows),
                Order::ColumnsFirst => ("bora_magnitude_columns", adapter.columns),
            };
            let slope = slopes(&model, &names)[name].clone();
            let magnitudes = host(first.val());
            let along = dot(&slope, &magnitudes);
            let expected = match detach {
                Detach::None => 0.0,
                Detach::Both => slope_along_weight(&model),
            };
            let size = (dot(&slope, &slope) * dot(&magnitudes, &magnitudes)).sqrt();
            assert!((along - expected).abs() < 1e-5 * size, "{along} {expected}");
            assert!(detach == Detach::None || expected.abs() > 1e-3 * size);
        }
    }
}

/// `<dL/dW', W'>` of the first layer.
fn slope_along_weight(model: &Tiny) -> f64 {
    let layer = model.up();
    let device = Device::default().autodiff();
    let weight = effective(layer).inner();
    let tracked = Tensor::from_inner(weight.clone()).require_grad();
    let y = layer
        .base()
        .add_bias(tiny::inputs(ROWS, &device).matmul(tracked.clone()));
    let grads = (y - 0.3).powi_scalar(2).mean().backward();
    dot(&host(tracked.grad(&grads).unwrap()), &host(weight))
}

#[test]
fn every_gradient_through_both_norms_is_the_slope_of_the_loss() {
    const STEP: f32 = 5e-3;
    // Differences of f32 losses near 1 over a step of 0.005: five digits are lost to rounding, two to the curvature.
    const SLOPE: Tolerance = Tolerance {
        relative: 5e-3,
        absolute: 2e-4,
    };
    for order in ORDERS {
        let (model, names) = moved(&bora(Detach::None, order), &Device::default());
        let slopes = slopes(&model, &names);
        assert_eq!(slopes.len(), 4);
        let values = contract::values(&model);
        for param in Trainable::of(&model, &names).params {
            let Some(name) = param.name.strip_prefix("layers.0.up_proj.") else {
                continue;
            };
            // In memory a matrix is transposed: compare sums over all entries, which do not depend on the order.
            let at = |step: f32| {
                let moved = values[&param.id].iter().map(|value| value + step).collect();
                let model = set_values(model.clone(), BTreeMap::from([(param.id, moved)]));
                loss(&model).into_scalar::<f32>()
            };
            let measured = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            let exact: f32 = slopes[name].iter().sum();
            assert_close(name, &[exact], &[measured], SLOPE);
        }
    }
}

#[test]
fn the_factored_forward_equals_the_dense_one_by_either_way() {
    for order in ORDERS {
        let device = Device::default();
        let (model, _) = moved(&bora(Detach::Both, order), &device);
        let model = model.valid();
        let (layer, x) = (model.up(), tiny::inputs(ROWS, &device));
        let base = layer.base();
        let dense = base.add_bias(x.clone().matmul(effective(layer)));
        let factored = layer.forward(x.clone(), &mut Pass::eval());
        assert_close("forward", &host(factored), &host(dense.clone()), MATMUL);
        let product = base.product(x.clone());
        let any = layer.adapter("default").unwrap();
        let delta = any.delta(x, &product, &base, &mut Pass::eval());
        let sum = base.add_bias(product + delta);
        assert_close("delta", &host(sum), &host(dense), MATMUL);
    }
}

#[test]
fn a_strength_between_zero_and_one_interpolates_between_base_and_adapted_output() {
    let device = Device::default();
    let (model, _) = moved(&Bora::default(), &device);
    let model = model.valid();
    let x = tiny::inputs(ROWS, &device);
    let output = |strength: &[(&str, f64)]| {
        let model = select_adapters(model.clone(), strength).unwrap();
        host(model.up().forward(x.clone(), &mut Pass::eval()))
    };
    let (base, full) = (output(&[]), output(&[("default", 1.0)]));
    let between: Vec<f32> = base
        .iter()
        .zip(&full)
        .map(|(b, f)| b + 0.3 * (f - b))
        .collect();
    assert_close("0.3", &output(&[("default", 0.3)]), &between, MATMUL);
    assert_close("0", &output(&[("default", 0.0)]), &base, ELEMENTWISE);
}

#[test]
fn at_the_start_a_has_no_gradient_and_the_others_have() {
    for order in ORDERS {
        let (model, names) = fresh(&bora(Detach::None, order), &Device::default());
        for (name, grad) in slopes(&model, &names) {
            let moves = grad.iter().any(|value| value.abs() > 1e-6);
            assert_eq!(moves, name != "lora_A.weight", "{name}");
        }
    }
}

#[test]
fn dropout_acts_on_the_low_rank_path_alone() {
    let device = Device::default();
    let method = Bora {
        dropout: 0.4,
        ..Bora::default()
    };
    let (model, _) = moved(&method, &device);
    let model = model.valid();
    let (layer, x) = (model.up(), tiny::inputs(ROWS, &device));
    let pair = adapter(layer).factors;
    let product = pair.a.val().matmul(pair.b.val()).mul_scalar(pair.scale);
    // The effective weight is the sum of two parts with the same scales: (W + s A B) (.) a (.) c.
    let sum = layer.weight.val() + product.clone();
    let scales = effective(layer) / sum;
    let dropped = Pass::train(9).dropout(x.clone(), method.dropout);
    let low = dropped.matmul(product * scales.clone());
    let base = x.clone().matmul(layer.weight.val() * scales);
    let expected = layer.base().add_bias(base + low);
    let actual = layer.forward(x.clone(), &mut Pass::train(9));
    assert_close("training", &host(actual), &host(expected), MATMUL);
    let dense = layer.base().add_bias(x.clone().matmul(effective(layer)));
    assert_close(
        "evaluation",
        &host(layer.forward(x, &mut Pass::eval())),
        &host(dense),
        MATMUL,
    );
}

#[test]
fn the_count_adds_a_magnitude_per_output_and_per_input() {
    assert_eq!(
        Bora::default().trainable(&Site::new("query", 768, 768), 8),
        13_824
    );
    assert_eq!(Bora::default().trainable(&Site::new("up", 6, 10), 2), 48);
}
