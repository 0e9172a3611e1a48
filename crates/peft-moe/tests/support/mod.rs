//! One adapted layer, and what the tests do with it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use burn::module::{Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use peft_core::target::TargetRules;
use peft_core::testing::case::Network;
use peft_core::values::set_values;
use peft_core::{AdaptedLinear, AdapterSpec, Layout, Method, ParamNames, Pass, Site, attach};
use peft_moe::MixtureAdapter;

pub(crate) const ROWS: usize = 9;
pub(crate) const D_IN: usize = 7;
pub(crate) const D_OUT: usize = 5;
pub(crate) const RANK: usize = 2;
pub(crate) const ALPHA: f64 = 3.0;

/// Numbers between `-size` and `size`, other ones for each seed.
pub(crate) fn numbers(seed: usize, count: usize, size: f32) -> Vec<f32> {
    let number = |i: usize| (((seed * 131 + i * 71) as f32) * 0.37).sin() * size;
    (0..count).map(number).collect()
}

pub(crate) fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub(crate) fn inputs(device: &Device) -> Tensor<2> {
    tensor(numbers(3, ROWS * D_IN, 1.0), [ROWS, D_IN], device)
}

/// A gradient for the outputs.
pub(crate) fn upstream(device: &Device) -> Tensor<2> {
    tensor(numbers(5, ROWS * D_OUT, 1.0), [ROWS, D_OUT], device)
}

/// One layer without a bias, adapted; `B` is no longer zero when `moved`.
pub(crate) fn adapted(
    method: Box<dyn Method>,
    moved: bool,
    device: &Device,
) -> (Network, ParamNames) {
    let (network, names) = adapted_of(method, [D_IN, D_OUT, RANK], device);
    if !moved {
        return (network, names);
    }
    let pair = network.layers[0].adapter("a").unwrap().pairs()[0];
    let count = pair.count * RANK * D_OUT;
    (set(network, pair.b, numbers(23, count, 0.4)), names)
}

/// One layer without a bias of other sizes, freshly adapted.
pub(crate) fn adapted_of(
    method: Box<dyn Method>,
    [d_in, d_out, rank]: [usize; 3],
    device: &Device,
) -> (Network, ParamNames) {
    let mut names = ParamNames::new();
    let id = names.insert("layer.weight", Layout::Transposed);
    let weight = tensor(numbers(1, d_in * d_out, 0.5), [d_in, d_out], device);
    let weight = Param::initialized(id, weight).set_require_grad(false);
    let layer = AdaptedLinear::new(Site::new("layer", d_in, d_out), weight, None);
    let base = Network {
        layers: vec![layer],
    };
    let spec = AdapterSpec {
        method,
        rank,
        alpha: ALPHA,
        targets: TargetRules::list(["layer"]),
        ..AdapterSpec::default()
    };
    let (network, _) = attach(base, &names, "a", &spec, 11).unwrap();
    (network, names)
}

/// The same with one parameter replaced.
pub(crate) fn set(network: Network, id: ParamId, values: Vec<f32>) -> Network {
    set_values(network, [(id, values)].into())
}

pub(crate) fn mixture(network: &Network) -> MixtureAdapter {
    let adapter = network.layers[0].adapter("a").unwrap();
    adapter.downcast_ref::<MixtureAdapter>().unwrap().clone()
}

/// The gradients of `sum(outputs * upstream)` in a training pass.
pub(crate) fn gradients(network: &Network, device: &Device) -> GradientsParams {
    let y = network.forward(inputs(device), &mut Pass::train(1));
    let loss = (y * upstream(device)).sum();
    GradientsParams::from_grads(loss.backward(), network)
}
