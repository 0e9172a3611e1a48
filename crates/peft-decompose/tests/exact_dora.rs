//! What must hold exactly for DoRA, by construction.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use peft_core::testing::contract::adapter_tensors;
use peft_core::testing::tiny::{self, Tiny};
use peft_core::testing::tolerance::{ELEMENTWISE, MATMUL, assert_close};
use peft_core::{Method, Pass};
use peft_decompose::Side;
use peft_decompose::dora::{Dora, DoraAdapter};

use peft_core::testing::case::{gradients, host};
use support::{effective, fresh, moved};

const SIDES: [Side; 2] = [Side::Output, Side::Input];
const ROWS: usize = 5;

fn dora(axis: Side) -> Dora {
    Dora {
        axis,
        ..Dora::default()
    }
}

fn adapter(model: &Tiny) -> DoraAdapter {
    let adapter = model.up().adapter("default").unwrap();
    adapter.downcast_ref::<DoraAdapter>().unwrap().clone()
}

#[test]
fn a_fresh_adapter_gives_the_very_bits_of_the_base() {
    let device = Device::default();
    let (base, _) = Tiny::new(&device);
    let x = tiny::inputs(ROWS, &device);
    let expected = host(base.forward(x.clone(), &mut Pass::eval()));
    let (model, _) = fresh(&dora(Side::Output), &device);
    assert_eq!(host(model.valid().forward(x, &mut Pass::eval())), expected);
}

#[test]
fn the_norms_of_the_effective_weight_are_the_magnitudes() {
    for axis in SIDES {
        let (model, _) = moved(&dora(axis), &Device::default());
        let (model, dim) = (model.valid(), usize::from(axis == Side::Input));
        let weight = effective(model.up());
        let norms = (weight.clone() * weight).sum_dim(dim).sqrt();
        let magnitudes = adapter(&model).magnitude.val().abs();
        assert_close("norms", &host(norms), &host(magnitudes), ELEMENTWISE);
    }
}

#[test]
fn the_factored_forward_equals_the_dense_one_by_either_way() {
    for axis in SIDES {
        let device = Device::default();
        let (model, _) = moved(&dora(axis), &device);
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
fn at_the_start_a_has_no_gradient_and_b_and_the_magnitudes_have() {
    for axis in SIDES {
        let device = Device::default().autodiff();
        let (model, names) = fresh(&dora(axis), &device);
        let output = model.forward(tiny::inputs(ROWS, &device), &mut Pass::train(0));
        let loss = tiny::loss(output, tiny::targets(ROWS, &device));
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        for (name, grad) in gradients(&model, &names, &grads) {
            let moves = grad.iter().any(|value| value.abs() > 1e-6);
            assert_eq!(moves, !name.ends_with("lora_A.weight"), "{name}");
        }
    }
}

/// The gradient of the magnitudes is `<dL/dW', W' / m>` per output or input, with the norm detached or not.
#[test]
fn the_gradient_of_a_magnitude_is_that_of_the_weight_along_its_direction() {
    for axis in SIDES {
        let device = Device::default().autodiff();
        let (model, names) = moved(&dora(axis), &device);
        let layer = model.up();
        let weight = effective(layer).inner();
        let tracked = Tensor::from_inner(weight.clone()).require_grad();
        let x = tiny::inputs(ROWS, &device);
        let target = |y: Tensor<2>| (y - 0.3).powi_scalar(2).mean();
        let dense = target(layer.base().add_bias(x.clone().matmul(tracked.clone())));
        let slope = tracked.grad(&dense.backward()).unwrap();
        let dim = usize::from(axis == Side::Input);
        let magnitudes = adapter(&model).magnitude.val().inner();
        let along = (slope * weight).sum_dim(dim).reshape([-1]) / magnitudes;
        let loss = target(layer.forward(x, &mut Pass::train(0)));
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let name = "layers.0.up_proj.lora_magnitude_vector";
        let trained = peft_core::Trainable::of(&model, &names).params;
        let id = trained.iter().find(|param| param.name == name).unwrap().id;
        let actual = grads.get::<1>(id).unwrap();
        assert_close(name, &host(actual), &host(along), MATMUL);
    }
}

#[test]
fn dropout_feeds_the_adapter_and_never_the_frozen_path() {
    for axis in SIDES {
        let device = Device::default();
        let method = Dora {
            dropout: 0.4,
            ..dora(axis)
        };
        let (model, _) = moved(&method, &device);
        let model = model.valid();
        let (layer, x) = (model.up(), tiny::inputs(ROWS, &device));
        let dropped = Pass::train(9).dropout(x.clone(), method.dropout);
        assert_ne!(host(dropped.clone()), host(x.clone()));
        let base = layer.base();
        let change = effective(layer) - layer.weight.val();
        let expected = base.add_bias(base.product(x.clone()) + dropped.matmul(change));
        let actual = layer.forward(x.clone(), &mut Pass::train(9));
        assert_close("training", &host(actual), &host(expected), MATMUL);
        let dense = base.add_bias(x.clone().matmul(effective(layer)));
        let actual = layer.forward(x, &mut Pass::eval());
        assert_close("evaluation", &host(actual), &host(dense), MATMUL);
    }
}

#[test]
fn the_count_adds_one_magnitude_per_output_or_input() {
    let site = peft_core::Site::new("query", 768, 768);
    assert_eq!(dora(Side::Output).trainable(&site, 8), 13_056);
    let site = peft_core::Site::new("up", 6, 10);
    assert_eq!(dora(Side::Output).trainable(&site, 2), 42);
    assert_eq!(dora(Side::Input).trainable(&site, 2), 38);
    let (model, _) = fresh(&dora(Side::Input), &Device::default());
    let tensors = adapter_tensors(&model, "default");
    let magnitude = &tensors["layers.0.up_proj.lora_magnitude_vector"];
    assert_eq!(magnitude.shape, [tiny::WIDTHS[0]]);
}
