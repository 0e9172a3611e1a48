//! Golden cases of this crate: a small network with an adapter read from a folder, compared number by number.
//!
//! A case is `NAME.json` (layers, losses, optimizer), `NAME.safetensors` (base, inputs, results) and `NAME/`, the adapter
//! folder before training. Tensors of the adapter are named as in the folder, with `@grad` and `@step1` to `@step3`.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by test files that each use a part; a panic is the failure report"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData, activation};
use peft_core::file::HostTensor;
use peft_core::merge::merge_site;
use peft_core::target::TargetRules;
use peft_core::testing::contract::{self, adapter_tensors};
use peft_core::testing::golden::Golden;
use peft_core::testing::tiny::Tiny;
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::values::set_values;
use peft_core::{
    Adaptable, AdaptedLinear, AdapterSpec, Layout, Method, MethodEntry, ParamNames, Pass,
    PeftError, Site, Trainable, TrainableParam, attach, folder, init,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Layers in a row: one linear layer, or blocks `down(tanh(up(x)))`.
#[derive(Module, Debug)]
pub(crate) struct Network {
    pub(crate) layers: Vec<AdaptedLinear>,
}

impl Adaptable for Network {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        self.layers.iter().for_each(visit);
    }
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        self.layers.iter_mut().for_each(visit);
    }
}

impl Network {
    pub(crate) fn forward(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        if let [only] = self.layers.as_slice() {
            return only.forward(x, pass);
        }
        self.layers.chunks(2).fold(x, |x, block| {
            let hidden = activation::tanh(block[0].forward(x, pass));
            block[1].forward(hidden, pass)
        })
    }
}

/// A golden case, its numbers read.
pub(crate) struct Case {
    pub(crate) golden: Golden,
    pub(crate) about: Value,
    pub(crate) folder: PathBuf,
}

impl Case {
    /// Reads `tests/golden/METHOD/NAME`.
    pub(crate) fn read(method: &str, name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(method);
        let text = std::fs::read_to_string(root.join(format!("{name}.json"))).unwrap();
        Self {
            golden: Golden::read(&root.join(format!("{name}.safetensors"))),
            about: serde_json::from_str(&text).unwrap(),
            folder: root.join(name),
        }
    }

    /// The frozen network without adapters.
    pub(crate) fn base(&self, device: &Device) -> (Network, ParamNames) {
        let mut names = ParamNames::new();
        let layers = self.about["sites"].as_array().unwrap().iter().map(|site| {
            let path = site["path"].as_str().unwrap();
            let size = |key: &str| usize::try_from(site[key].as_u64().unwrap()).unwrap();
            let (weight, bias) = (format!("{path}.weight"), format!("{path}.bias"));
            let weight_id = names.insert(&weight, Layout::Transposed);
            let bias = self.golden.has(&bias).then(|| {
                let values = self.golden.get(&bias).data.as_slice();
                let id = names.insert(&bias, Layout::AsIs);
                Param::initialized(id, Tensor::from_floats(values, device))
            });
            AdaptedLinear::new(
                Site::new(path, size("d_in"), size("d_out")),
                Param::initialized(weight_id, transposed(self.golden.get(&weight), device)),
                bias,
            )
        });
        let layers = layers.collect();
        (Network { layers }, names)
    }

    /// The network with the adapter of the folder.
    pub(crate) fn load(
        &self,
        entries: &[&'static MethodEntry],
        device: &Device,
    ) -> (Network, ParamNames) {
        let (base, names) = self.base(device);
        let loaded = folder::load(base, &names, "default", entries, &self.folder).unwrap();
        assert_eq!(loaded.unknown_fields, [""; 0]);
        (loaded.model, names)
    }

    /// Forward, gradients, three AdamW steps and merged weights, all against the golden numbers.
    pub(crate) fn check(&self, entries: &[&'static MethodEntry]) {
        let device = Device::default().autodiff();
        let (network, names) = self.load(entries, &device);
        self.check_gradients(&network, &names, &device);
        for layer in &network.layers {
            let (report, merged) = merge_site(layer).unwrap();
            assert!(report.output_error < 1e-5, "{}", report.output_error);
            let name = format!("{}.merged_weight", layer.site().path);
            assert_close(&name, &host(merged.transpose()), self.values(&name), MATMUL);
        }
        self.check_steps(network, &names, &device);
    }

    fn values(&self, name: &str) -> &[f32] {
        &self.golden.get(name).data
    }

    fn loss(&self, network: &Network, device: &Device) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
        let x = matrix(self.golden.get("x"), device).require_grad();
        let y = network.forward(x.clone(), &mut Pass::train(1));
        let loss = (y.clone() - matrix(self.golden.get("target"), device))
            .powi_scalar(2)
            .mean();
        (x, y, loss)
    }

    fn check_gradients(&self, network: &Network, names: &ParamNames, device: &Device) {
        let (x, y, value) = self.loss(network, device);
        assert_close("y", &host(y), self.values("y"), MATMUL);
        let grads = value.backward();
        let grad_x = host(x.grad(&grads).unwrap());
        assert_close("grad_x", &grad_x, self.values("grad_x"), MATMUL);
        let gradients = gradients(network, names, &GradientsParams::from_grads(grads, network));
        assert_eq!(gradients.len(), Trainable::of(network, names).params.len());
        for (name, actual) in gradients {
            let name = format!("{name}@grad");
            assert_close(&name, &actual, self.values(&name), MATMUL);
        }
    }

    fn check_steps(&self, mut network: Network, names: &ParamNames, device: &Device) {
        let adamw = &self.about["adamw"];
        let mut optimizer = AdamWConfig::new()
            .with_weight_decay(adamw["weight_decay"].as_f64().unwrap() as f32)
            .with_epsilon(adamw["eps"].as_f64().unwrap() as f32)
            .init();
        for step in 1..=3 {
            let (_, _, value) = self.loss(&network, device);
            let expected = self.about["losses"][step - 1].as_f64().unwrap() as f32;
            let actual = value.clone().into_scalar::<f32>();
            let name = format!("loss before step {step}");
            assert_close(&name, &[actual], &[expected], MATMUL);
            let gradients = GradientsParams::from_grads(value.backward(), &network);
            network = optimizer.step(adamw["lr"].as_f64().unwrap(), network, gradients);
            let trained = Trainable::of(&network, names).params;
            let tensors = adapter_tensors(&network, "default");
            for param in trained {
                let name = format!("{}@step{step}", param.name);
                let actual = &tensors[&param.name].data;
                assert_close(&name, actual, self.values(&name), MATMUL);
            }
        }
    }
}

/// A small model with fresh adapters of `method` on two of its layers, every trained number moved by a tenth or so.
pub(crate) fn moved(method: &dyn Method, device: &Device) -> (Tiny, ParamNames) {
    let (model, names) = fresh(method, device);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let values = Trainable::of(&model, &names)
        .params
        .into_iter()
        .map(|param| {
            let size = param.shape.iter().product();
            let noise = init::gaussian(1, size, 0.1, &mut rng);
            (param.id, noise.iter::<f32>().collect::<Vec<f32>>())
        });
    let mut values: BTreeMap<ParamId, Vec<f32>> = values.collect();
    for (id, value) in contract::values(&model) {
        if let Some(noise) = values.get_mut(&id) {
            noise
                .iter_mut()
                .zip(value)
                .for_each(|(noise, value)| *noise += value);
        }
    }
    (set_values(model, values), names)
}

/// The same model with the adapters as they start.
pub(crate) fn fresh(method: &dyn Method, device: &Device) -> (Tiny, ParamNames) {
    let (model, names) = Tiny::new(&device.clone().autodiff());
    let model = attach_to(model, &names, method).unwrap();
    (model, names)
}

/// Attaches a method to two layers of a model.
pub(crate) fn attach_to(
    model: Tiny,
    names: &ParamNames,
    method: &dyn Method,
) -> Result<Tiny, PeftError> {
    Ok(attach(model, names, "default", &spec(method), 3)?.0)
}

/// A method at a rank that differs from every width.
pub(crate) fn spec(method: &dyn Method) -> AdapterSpec {
    AdapterSpec {
        method: method.boxed(),
        rank: 3,
        alpha: 4.5,
        targets: TargetRules::list(["up_proj", "down_proj"]),
        ..AdapterSpec::default()
    }
}

/// The effective weight of an adapted layer, `[d_in, d_out]`.
pub(crate) fn effective(layer: &AdaptedLinear) -> Tensor<2> {
    let adapter = layer.adapter("default").unwrap();
    adapter.effective_weight(layer.weight.val()).unwrap()
}

/// The gradient of every trained tensor that has one, by its name in files and in their order.
pub(crate) fn gradients<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    gradients: &GradientsParams,
) -> BTreeMap<String, Vec<f32>> {
    let trained = Trainable::of(model, names).params;
    let read = |param: &TrainableParam| match param.shape.len() {
        1 => gradients.get::<1>(param.id).map(host),
        _ => gradients
            .get::<2>(param.id)
            .map(|grad| host(grad.transpose())),
    };
    trained
        .iter()
        .filter_map(|param| Some((param.name.clone(), read(param)?)))
        .collect()
}

pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub(crate) fn matrix(tensor: &HostTensor, device: &Device) -> Tensor<2> {
    let data = TensorData::new(tensor.data.clone(), tensor.shape.clone());
    Tensor::from_data(data, device)
}

/// A file's matrix `[d_out, d_in]` in Burn's orientation.
fn transposed(tensor: &HostTensor, device: &Device) -> Tensor<2> {
    matrix(tensor, device).transpose().detach()
}
