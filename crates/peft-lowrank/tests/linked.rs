//! ResLoRA's context between layers: the formula, its gradients, and the same where blocks are computed again.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod blocks;

use std::collections::BTreeMap;

use blocks::{Blocks, inputs};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Gradients, Tensor, TensorData, activation};
use peft_core::init::gaussian;
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::{Adaptable, Pass, RowAdapters};
use peft_lowrank::reslora::{ResLora, ResLoraAdapter};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const COUNT: usize = 4;

/// Values that no method starts from.
fn some(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Tensor::from_data(gaussian(shape[0], shape[1], 0.5, &mut rng), device)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data: TensorData = tensor.into_data();
    data.iter::<f32>().collect()
}

/// A model whose `B`s are not zero.
fn model(device: &Device) -> Blocks {
    let (mut model, _, _) = Blocks::adapted(COUNT, Box::new(ResLora::default()), device);
    let mut seed = 10;
    model.visit_linears_mut(&mut |linear| {
        let adapter = linear.remove("a").unwrap();
        let mut adapter = adapter.downcast_ref::<ResLoraAdapter>().unwrap().clone();
        adapter.b = adapter.b.map(|b| {
            let new = some(b.dims(), seed, device);
            new.set_require_grad(b.is_require_grad())
        });
        seed += 1;
        linear.insert("a", peft_core::AnyAdapter::new(adapter));
    });
    model
}

/// `x_{n+1} = tanh(x_n W_n + scale (x_n + x_{n-1}) A_n B_n) + x_n`, written out.
fn expected(model: &Blocks, x: Tensor<2>) -> Tensor<2> {
    let mut before: Option<Tensor<2>> = None;
    model.blocks.iter().fold(x, |x, linear| {
        let adapter = linear.adapter("a").unwrap();
        let adapter = adapter.downcast_ref::<ResLoraAdapter>().unwrap();
        let sum = x.clone() + before.clone().unwrap_or_else(|| x.clone());
        before = Some(x.clone());
        let low = sum.matmul(adapter.a.val()).matmul(adapter.b.val());
        let y = x.clone().matmul(linear.weight.val()) + low.mul_scalar(1.5);
        activation::tanh(y) + x
    })
}

/// The sum of all gradients by parameter.
fn gradients(model: &Blocks, parts: Vec<Gradients>) -> BTreeMap<ParamId, Vec<f32>> {
    struct Sum<'a>(Vec<Gradients>, &'a mut BTreeMap<ParamId, Vec<f32>>);
    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            for part in &self.0 {
                if let Some(grad) = param.val().grad(part) {
                    let grad = host(grad);
                    let sum = self
                        .1
                        .entry(param.id)
                        .or_insert_with(|| vec![0.0; grad.len()]);
                    sum.iter_mut()
                        .zip(grad)
                        .for_each(|(sum, grad)| *sum += grad);
                }
            }
        }
    }
    let mut sums = BTreeMap::new();
    model.visit(&mut Sum(parts, &mut sums));
    sums
}

fn backward(model: &Blocks, mut pass: Pass<'_>, device: &Device) -> BTreeMap<ParamId, Vec<f32>> {
    let y = model.forward(inputs(device), &mut pass);
    let loss = y.powi_scalar(2).mean();
    let mut parts = Vec::new();
    pass.backward(loss, 1.0, |part| parts.push(part));
    gradients(model, parts)
}

#[test]
fn each_layer_sees_its_input_and_that_of_the_layer_before() {
    let device = Device::default();
    let model = model(&device);
    let found = model.forward(inputs(&device), &mut Pass::eval());
    let expected = expected(&model, inputs(&device));
    assert_close("output", &host(found), &host(expected), MATMUL);
}

#[test]
fn gradients_reach_the_layer_before_with_and_without_recomputation() {
    let device = Device::default().autodiff();
    let model = model(&device);
    let loss = expected(&model, inputs(&device)).powi_scalar(2).mean();
    let wanted = gradients(&model, vec![loss.backward()]);
    assert_eq!(wanted.len(), 2 * COUNT);
    let kept = backward(&model, Pass::train(1), &device);
    let again = backward(&model, Pass::train(1).with_recomputation(), &device);
    for (id, wanted) in wanted {
        assert_close("gradient", &kept[&id], &wanted, MATMUL);
        assert_close(
            "gradient of recomputed blocks",
            &again[&id],
            &wanted,
            MATMUL,
        );
    }
}

#[test]
fn recomputed_blocks_draw_the_same_masks_for_the_sum() {
    let device = Device::default().autodiff();
    let method = ResLora {
        dropout: 0.5,
        ..ResLora::default()
    };
    let (model, _, _) = Blocks::adapted(COUNT, Box::new(method), &device);
    device.seed(9);
    let kept = backward(&model, Pass::train(1), &device);
    device.seed(9);
    let again = backward(&model, Pass::train(1).with_recomputation(), &device);
    let other = backward(&model, Pass::train(2), &device);
    assert_ne!(kept, other);
    for (id, kept) in kept {
        assert_close("gradient", &again[&id], &kept, MATMUL);
    }
}

#[test]
fn rows_with_adapters_of_their_own_take_what_their_rows_left() {
    let device = Device::default();
    let model = model(&device);
    let whole = host(model.forward(inputs(&device), &mut Pass::eval()));
    let base = Blocks::new(COUNT, &device).0;
    let plain = host(base.forward(inputs(&device), &mut Pass::eval()));
    let rows = RowAdapters::new(&[Some("a"), None, Some("a"), None], &device);
    let mixed = host(model.forward(inputs(&device), &mut Pass::eval().with_rows(&rows)));
    for (row, source) in [(0, &whole), (1, &plain), (2, &whole), (3, &plain)] {
        let of = |values: &[f32]| values[row * blocks::WIDTH..(row + 1) * blocks::WIDTH].to_vec();
        assert_close("row", &of(&mixed), &of(source), MATMUL);
    }
}
