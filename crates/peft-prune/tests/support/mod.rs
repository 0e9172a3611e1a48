//! A stack of equal layers of two types, and what the tests do with it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData, activation};
use indexmap::IndexMap;
use peft_core::lora::{LORA, LoraAdapter};
use peft_core::target::TargetRules;
use peft_core::values::set_values;
use peft_core::{
    Adaptable, AdaptedLinear, AdapterSpec, AttachReport, Layout, Method, ParamNames, Pass, Site,
    attach,
};
use peft_prune::lora_drop::LoraDrop;
use serde_json::Map;

pub(crate) const LAYERS: usize = 5;
pub(crate) const D: usize = 6;
pub(crate) const RANK: usize = 2;

/// `x <- tanh(value(tanh(query(x))))` for every layer: sites `layers.0.query`, `layers.0.value`, ...
#[derive(Module, Debug)]
pub(crate) struct Stack {
    linears: Vec<AdaptedLinear>,
}

fn numbers(seed: usize, count: usize, size: f32) -> Vec<f32> {
    let number = |i: usize| (((seed * 131 + i * 71) as f32) * 0.37).sin() * size;
    (0..count).map(number).collect()
}

impl Stack {
    pub(crate) fn new(device: &Device) -> (Self, ParamNames) {
        let mut names = ParamNames::default();
        let mut linears = Vec::new();
        for layer in 0..LAYERS {
            for kind in ["query", "value"] {
                let path = format!("layers.{layer}.{kind}");
                let id = names.insert(&format!("{path}.weight"), Layout::Transposed);
                let values = numbers(linears.len() + 1, D * D, 0.5);
                let weight = Tensor::from_data(TensorData::new(values, [D, D]), device);
                let weight = Param::initialized(id, weight).set_require_grad(false);
                linears.push(AdaptedLinear::new(Site::new(path, D, D), weight, None));
            }
        }
        (Self { linears }, names)
    }

    pub(crate) fn forward(&self, mut x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        for linear in &self.linears {
            x = activation::tanh(linear.forward(x, pass));
        }
        x
    }
}

impl Adaptable for Stack {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        self.linears.iter().for_each(visit);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        self.linears.iter_mut().for_each(visit);
    }
}

pub(crate) fn inputs(device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(numbers(99, 12 * D, 1.0), [12, D]), device)
}

pub(crate) fn spec(method: Box<dyn Method>) -> AdapterSpec {
    AdapterSpec {
        method,
        rank: RANK,
        alpha: 4.0,
        targets: TargetRules::list(["query", "value"]),
        ..AdapterSpec::default()
    }
}

pub(crate) fn lora() -> Box<dyn Method> {
    (LORA.from_options)(&Map::new()).unwrap()
}

pub(crate) fn sharing(pairs: &[(&str, &str)]) -> Box<dyn Method> {
    let shared = pairs
        .iter()
        .map(|(site, owner)| ((*site).to_owned(), (*owner).to_owned()));
    Box::new(LoraDrop {
        shared: shared.collect::<IndexMap<_, _>>(),
        ..LoraDrop::default()
    })
}

/// A stack with an adapter called `a`, whose `B` is not zero any more when `moved`.
pub(crate) fn adapted(
    spec: &AdapterSpec,
    device: &Device,
    moved: bool,
) -> (Stack, ParamNames, AttachReport) {
    let (stack, names) = Stack::new(device);
    let (mut stack, report) = attach(stack, &names, "a", spec, 1).unwrap();
    if moved {
        for index in 0..2 * LAYERS {
            let values = numbers(index + 40, RANK * D, 0.2);
            stack = with_b(stack, index, values);
        }
    }
    (stack, names, report)
}

/// The same stack with `B` of one layer replaced.
pub(crate) fn with_b(stack: Stack, index: usize, values: Vec<f32>) -> Stack {
    let id = factors(&stack, index).b.id;
    set_values(stack, [(id, values)].into())
}

pub(crate) fn factors(stack: &Stack, index: usize) -> LoraAdapter {
    let adapter = stack.linears[index].adapter("a").unwrap();
    adapter.downcast_ref::<LoraAdapter>().unwrap().clone()
}

/// `scale A B` of one layer.
pub(crate) fn product(stack: &Stack, index: usize) -> Vec<f32> {
    let (a, b) = stack.linears[index]
        .adapter("a")
        .unwrap()
        .low_rank()
        .unwrap();
    host(a.matmul(b))
}

pub(crate) fn host<const N: usize>(tensor: Tensor<N>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
