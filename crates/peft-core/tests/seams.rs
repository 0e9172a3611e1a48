//! The seams, each with its real user: clipping, a tied pair, an output-norm observer, dropout.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::HashSet;

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use peft_core::gradient::ClipNorm;
use peft_core::lora::{LORA, LoraAdapter, RSLORA};
use peft_core::target::TargetRules;
use peft_core::testing::contract::values;
use peft_core::testing::tiny::{self, Tiny};
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::tie::{TieGroup, TieGroups};
use peft_core::{
    Adaptable, AdapterSpec, ParamNames, Pass, PeftError, Procedures, Trainable, attach, count,
};
use serde_json::{Map, json};

fn spec(options: serde_json::Value, targets: &[&str]) -> AdapterSpec {
    let options: Map<_, _> = options.as_object().cloned().unwrap_or_default();
    AdapterSpec {
        method: (LORA.from_options)(&options).unwrap(),
        rank: 2,
        alpha: 4.0,
        targets: TargetRules::list(targets.iter().copied()),
        ..AdapterSpec::default()
    }
}

fn tuned(device: &Device, options: serde_json::Value) -> (Tiny, ParamNames) {
    let (model, names) = Tiny::new(device);
    let (model, _) = attach(
        model,
        &names,
        "default",
        &spec(options, &["up_proj", "down_proj"]),
        3,
    )
    .unwrap();
    let mut optimizer = AdamWConfig::new().init();
    (
        peft_core::testing::contract::train(model, &mut optimizer, 3),
        names,
    )
}

fn grads(model: &Tiny, device: &Device) -> GradientsParams {
    let output = model.forward(tiny::inputs(12, device), &mut Pass::train(1));
    let loss = tiny::loss(output, tiny::targets(12, device));
    GradientsParams::from_grads(loss.backward(), model)
}

fn norm(grads: &GradientsParams, trainable: &Trainable) -> f64 {
    let squares = trainable.params.iter().map(|param| {
        let grad = grads.get::<2>(param.id).unwrap().into_data();
        grad.iter::<f32>()
            .map(|g| f64::from(g).powi(2))
            .sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}

#[test]
fn clipping_brings_the_global_norm_down_to_the_limit_and_reports_the_old_one() {
    let device = Device::default().autodiff();
    let (model, names) = tuned(&device, json!({}));
    let trainable = Trainable::of(&model, &names);
    let mut gradients = grads(&model, &device);
    let before = norm(&gradients, &trainable);
    assert!(before > 0.02, "{before}");
    let found = ClipNorm { max_norm: 0.01 }.clip(&mut gradients, &trainable);
    let found = f64::from(found.unwrap().into_scalar::<f32>());
    assert!((found / before - 1.0).abs() < 1e-5);
    assert!((norm(&gradients, &trainable) / 0.01 - 1.0).abs() < 1e-3);
}

#[test]
fn clipping_leaves_small_gradients_alone() {
    let device = Device::default().autodiff();
    let (model, names) = tuned(&device, json!({}));
    let trainable = Trainable::of(&model, &names);
    let mut gradients = grads(&model, &device);
    let before = norm(&gradients, &trainable);
    ClipNorm { max_norm: 1e6 }.clip(&mut gradients, &trainable);
    assert_eq!(before, norm(&gradients, &trainable));
}

#[test]
fn a_state_that_belongs_to_no_procedure_is_refused() {
    let tensor = peft_core::file::HostTensor::new("x", [1], vec![0.0]).unwrap();
    let state = [("riemannian/x".to_owned(), tensor)].into();
    let error = Procedures::default().load_state(state).unwrap_err();
    assert!(
        matches!(error, PeftError::State { ref name, .. } if name == "riemannian"),
        "{error}"
    );
}

/// A model whose first layer carries two adapters, and the two as pairs of factors.
fn twice_adapted(device: &Device) -> (Tiny, LoraAdapter, LoraAdapter) {
    let (mut model, names) = tuned(device, json!({}));
    let spec = spec(json!({}), &["up_proj"]);
    let (again, _) = attach(Tiny::new(device).0, &names, "second", &spec, 3).unwrap();
    let second = again.up().adapter("second").unwrap().clone();
    model.visit_linears_mut(&mut |linear| {
        if linear.site().role() == "up_proj" {
            linear.insert("second", second.clone());
        }
    });
    let factors = |name: &str| {
        let adapter = model.up().adapter(name).unwrap();
        adapter.downcast_ref::<LoraAdapter>().unwrap().clone()
    };
    let (owner, member) = (factors("default"), factors("second"));
    (model, owner, member)
}

fn tied(owner: &LoraAdapter, member: &LoraAdapter) -> TieGroups {
    let pairs = [(owner.a.id, member.a.id), (owner.b.id, member.b.id)];
    let group = |(owner, member)| TieGroup {
        owner,
        members: vec![member],
        axes: 2,
    };
    TieGroups(pairs.map(group).into())
}

#[test]
fn tied_factors_sum_their_gradients() {
    let device = Device::default().autodiff();
    let (model, owner, member) = twice_adapted(&device);
    let ties = tied(&owner, &member);
    let model = ties.broadcast(model);
    let untied = grads(&model, &device);
    let mut gathered = grads(&model, &device);
    ties.gather(&mut gathered);
    let host = |t: burn::Tensor<2>| t.into_data().iter::<f32>().collect::<Vec<f32>>();
    for (owner, member) in [(owner.a.id, member.a.id), (owner.b.id, member.b.id)] {
        assert!(gathered.get::<2>(member).is_none());
        let sum = untied.get::<2>(owner).unwrap() + untied.get::<2>(member).unwrap();
        let found = host(gathered.get::<2>(owner).unwrap());
        assert_close("gathered gradient", &found, &host(sum), MATMUL);
    }
}

#[test]
fn tied_factors_stay_equal_over_a_hundred_steps_and_count_once() {
    let device = Device::default().autodiff();
    let (model, owner, member) = twice_adapted(&device);
    let ties = tied(&owner, &member);
    let mut model = ties.broadcast(model);
    let start = values(&model);
    assert_eq!(start[&owner.a.id], start[&member.a.id]);
    let mut optimizer = AdamWConfig::new().init();
    for _ in 0..100 {
        let mut gradients = grads(&model, &device);
        ties.gather(&mut gradients);
        model = ties.broadcast(optimizer.step(1e-2, model, gradients));
    }
    let end = values(&model);
    assert_ne!(start[&owner.a.id], end[&owner.a.id]);
    assert_eq!(end[&owner.a.id], end[&member.a.id]);
    assert_eq!(end[&owner.b.id], end[&member.b.id]);

    let all = count(&model, &HashSet::new());
    let once = count(&model, &ties.followers());
    assert_eq!(all.trainable - once.trainable, 2 * (6 + 10));
}

#[test]
fn dropout_acts_in_training_passes_only_and_repeats_with_the_seed() {
    let device = Device::default();
    let (model, _) = tuned(&device.clone().autodiff(), json!({"dropout": 0.5}));
    let x = tiny::inputs(12, &device.clone().autodiff());
    let run = |pass: &mut Pass<'_>, seed| {
        device.seed(seed);
        let y = model.forward(x.clone(), pass);
        y.into_data().iter::<f32>().collect::<Vec<f32>>()
    };
    let eval = run(&mut Pass::eval(), 1);
    assert_eq!(eval, run(&mut Pass::eval(), 2));
    assert_ne!(eval, run(&mut Pass::train(1), 1));
    assert_eq!(run(&mut Pass::train(1), 1), run(&mut Pass::train(1), 1));
    assert_ne!(run(&mut Pass::train(1), 1), run(&mut Pass::train(2), 2));
}

#[test]
fn wrong_options_are_refused_by_name() {
    let options = |value: serde_json::Value| value.as_object().cloned().unwrap();
    for (value, word) in [
        (json!({"dropout": 1.5}), "dropout"),
        (json!({"droput": 0.1}), "droput"),
        (json!({"init": "magic"}), "magic"),
    ] {
        let error = (RSLORA.from_options)(&options(value))
            .unwrap_err()
            .to_string();
        assert!(error.contains(word) && error.contains("rslora"), "{error}");
    }
}
