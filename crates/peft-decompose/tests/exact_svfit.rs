//! What must hold exactly for SVFit, by construction.

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
use peft_core::{AdaptedLinear, AdapterSpec, AnyAdapter, Method, Pass, Site, Trainable, attach};
use peft_decompose::svfit::{Size, Svfit, SvfitAdapter};

use peft_core::testing::case::{gradients, host};
use support::{effective, fresh, moved};

const ROWS: usize = 5;
/// `U^T W_e` and `W_e V` against zero, for weights near 1.
const ORTHOGONAL: Tolerance = Tolerance {
    relative: 0.0,
    absolute: 1e-5,
};

fn svfit(k: Size) -> Svfit {
    Svfit {
        k,
        ..Svfit::default()
    }
}

fn adapter(layer: &AdaptedLinear) -> SvfitAdapter {
    let adapter = layer.adapter("default").unwrap();
    adapter.downcast_ref::<SvfitAdapter>().unwrap().clone()
}

/// `left diag(sigma) right`: the part of the base that the adapter can change.
fn part(adapter: &SvfitAdapter) -> Tensor<2> {
    (adapter.left.val() * adapter.sigma.val().unsqueeze()).matmul(adapter.right.val())
}

fn sum_of_squares(tensor: Tensor<2>) -> f32 {
    (tensor.clone() * tensor).sum().into_scalar()
}

#[test]
fn a_fresh_adapter_gives_the_very_bits_of_the_base() {
    let device = Device::default();
    let (base, _) = Tiny::new(&device);
    let x = tiny::inputs(ROWS, &device);
    let expected = host(base.forward(x.clone(), &mut Pass::eval()));
    for k in [Size::Full, Size::Rank, Size::Energy] {
        let (model, _) = fresh(&svfit(k), &device);
        let actual = model.valid().forward(x.clone(), &mut Pass::eval());
        assert_eq!(host(actual), expected, "{k:?}");
    }
}

#[test]
fn with_every_value_the_part_is_the_whole_weight() {
    let (model, _) = fresh(&svfit(Size::Full), &Device::default());
    let model = model.valid();
    let weight = host(model.up().weight.val());
    assert_close("W", &host(part(&adapter(model.up()))), &weight, ELEMENTWISE);
}

#[test]
fn the_rest_of_the_weight_is_orthogonal_to_the_directions_and_as_large_as_the_dropped_values() {
    let device = Device::default();
    let (full, _) = fresh(&svfit(Size::Full), &device);
    let all = host(adapter(full.valid().up()).sigma.val());
    let (model, _) = fresh(&svfit(Size::Rank), &device);
    let model = model.valid();
    let adapter = adapter(model.up());
    let k = adapter.sigma.val().dims()[0];
    assert_eq!(k, 3);
    let rest = model.up().weight.val() - part(&adapter);
    for zero in [
        adapter.left.val().transpose().matmul(rest.clone()),
        rest.clone().matmul(adapter.right.val().transpose()),
    ] {
        let values = host(zero);
        assert_close("0", &values, &vec![0.0; values.len()], ORTHOGONAL);
    }
    let dropped: f32 = all[k..].iter().map(|sigma| sigma * sigma).sum();
    assert_close("|W_e|^2", &[sum_of_squares(rest)], &[dropped], MATMUL);
}

#[test]
fn the_change_of_the_weight_is_as_large_as_the_shift() {
    for k in [Size::Full, Size::Rank] {
        let (model, _) = moved(&svfit(k), &Device::default());
        let model = model.valid();
        let change = effective(model.up()) - model.up().weight.val();
        let shift = adapter(model.up()).shift.val();
        let shift = (shift.clone() * shift).sum().into_scalar::<f32>();
        assert!(shift > 0.01);
        assert_close("|W' - W|^2", &[sum_of_squares(change)], &[shift], MATMUL);
    }
}

#[test]
fn flipping_the_sign_of_a_pair_of_vectors_changes_nothing() {
    let device = Device::default();
    let (model, _) = moved(&svfit(Size::Full), &device);
    let mut layer = model.valid().up().clone();
    let x = tiny::inputs(ROWS, &device);
    let before = host(layer.forward(x.clone(), &mut Pass::eval()));
    let mut flipped = adapter(&layer);
    let k = flipped.sigma.val().dims()[0];
    let signs: Vec<f32> = (0..k)
        .map(|j| if j % 2 == 0 { -1.0 } else { 1.0 })
        .collect();
    let signs = Tensor::<1>::from_floats(signs.as_slice(), &device);
    flipped.left = flipped.left.map(|v| v * signs.clone().unsqueeze());
    flipped.right = flipped.right.map(|u| u * signs.reshape([k, 1]));
    layer.insert("default", AnyAdapter::new(flipped));
    assert_eq!(host(layer.forward(x, &mut Pass::eval())), before);
}

#[test]
fn the_gradient_of_a_value_is_the_slope_of_the_loss_and_the_gradient_of_the_weight_between_its_vectors()
 {
    const STEP: f32 = 5e-3;
    const SLOPE: Tolerance = Tolerance {
        relative: 5e-3,
        absolute: 2e-4,
    };
    let device = Device::default().autodiff();
    let (model, names) = moved(&svfit(Size::Rank), &device);
    let loss = |model: &Tiny| {
        let y = model
            .up()
            .forward(tiny::inputs(ROWS, &device), &mut Pass::train(0));
        (y - 0.3).powi_scalar(2).mean()
    };
    let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
    let name = "layers.0.up_proj.svfit_shift";
    let slope = gradients(&model, &names, &grads)[name].clone();

    let layer = model.up();
    let tracked = Tensor::from_inner(effective(layer).inner()).require_grad();
    let x = tiny::inputs(ROWS, &device);
    let y = layer.base().add_bias(x.matmul(tracked.clone()));
    let dense = (y - 0.3).powi_scalar(2).mean().backward();
    let adapter = adapter(layer).valid();
    let between = adapter
        .left
        .val()
        .transpose()
        .matmul(tracked.grad(&dense).unwrap());
    let between = (between * adapter.right.val()).sum_dim(1);
    assert_close("u^T G v", &slope, &host(between), MATMUL);

    let trained = Trainable::of(&model, &names).params;
    let id = trained.iter().find(|param| param.name == name).unwrap().id;
    let values = contract::values(&model)[&id].clone();
    for (j, exact) in slope.iter().enumerate() {
        let at = |step: f32| {
            let mut moved = values.clone();
            moved[j] += step;
            let model = set_values(model.clone(), BTreeMap::from([(id, moved)]));
            loss(&model).into_scalar::<f32>()
        };
        let measured = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        assert_close(name, &[*exact], &[measured], SLOPE);
    }
}

#[test]
fn the_count_is_k_and_sixteen_times_below_lora_of_rank_eight_on_a_square_weight() {
    let site = Site::new("query", 768, 768);
    assert_eq!(svfit(Size::Full).trainable(&site, 8), 768);
    assert_eq!(8 * (768 + 768) / svfit(Size::Full).trainable(&site, 8), 16);
    assert_eq!(svfit(Size::Rank).trainable(&site, 8), 8);
    assert_eq!(svfit(Size::Full).trainable(&Site::new("up", 6, 10), 2), 6);
}

#[test]
fn with_energy_the_report_of_attaching_counts_what_really_trains() {
    let (model, names) = Tiny::new(&Device::default());
    let method = Svfit {
        share: 0.7,
        ..svfit(Size::Energy)
    };
    let spec = AdapterSpec {
        method: Box::new(method),
        ..AdapterSpec::default()
    };
    let (model, report) = attach(model, &names, "default", &spec, 1).unwrap();
    let k = adapter(model.up()).shift.val().dims()[0];
    assert!(k < 6, "{k}");
    assert_eq!(report.sites[0].trainable, k);
}
