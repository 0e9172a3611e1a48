//! Golden cases: a small network with an adapter read from a folder, compared number by number.
//!
//! A case is `NAME.json` (layers, losses, optimizer), `NAME.safetensors` (base, inputs, results) and `NAME/`, the adapter
//! folder before training. Tensors of the adapter are named as in the folder, with `@grad` and `@step1` to `@step3`.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "for tests: golden files are part of the repository, and a panic is the failure report"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData, activation};
use peft_format::Site;
use serde_json::Value;

use super::contract::adapter_tensors;
use super::golden::Golden;
use super::tolerance::{MATMUL, assert_close};
use crate::adaptable::Adaptable;
use crate::fields;
use crate::file::{HostTensor, TENSOR_FILE, read_config};
use crate::folder;
use crate::linear::AdaptedLinear;
use crate::merge::merge_site;
use crate::method::MethodEntry;
use crate::names::{Layout, ParamNames};
use crate::pass::Pass;
use crate::tie::TieGroups;
use crate::trainable::{Trainable, TrainableParam};
use crate::values::to_file;

/// Layers in a row: one linear layer, or blocks `down(tanh(up(x)))`.
#[derive(Module, Debug)]
pub struct Network {
    /// In order.
    pub layers: Vec<AdaptedLinear>,
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
    /// Outputs `[rows, d_out]` of the last layer.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
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
#[derive(Debug)]
pub struct Case {
    /// Base, inputs and results.
    pub golden: Golden,
    /// Layers, losses, optimizer.
    pub about: Value,
    /// The adapter before training.
    pub folder: PathBuf,
}

impl Case {
    /// Reads the case called `name` in a folder of golden numbers.
    #[must_use]
    pub fn read(root: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(root.join(format!("{name}.json"))).unwrap();
        Self {
            golden: Golden::read(&root.join(format!("{name}.safetensors"))),
            about: serde_json::from_str(&text).unwrap(),
            folder: root.join(name),
        }
    }

    /// The frozen network without adapters.
    #[must_use]
    pub fn base(&self, device: &Device) -> (Network, ParamNames) {
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
    #[must_use]
    pub fn load(
        &self,
        entries: &[&'static MethodEntry],
        device: &Device,
    ) -> (Network, ParamNames, TieGroups) {
        let (base, names) = self.base(device);
        let loaded = folder::load(base, &names, "default", entries, &self.folder).unwrap();
        assert_eq!(loaded.unknown_fields, [""; 0]);
        let method = loaded.spec.method.as_ref();
        let ties = TieGroups::of(&loaded.model, "default", method).unwrap();
        (loaded.model, names, ties)
    }

    /// Forward, gradients, three AdamW steps and, where the method has them, merged weights, all against the golden numbers.
    pub fn check(&self, entries: &[&'static MethodEntry]) {
        let device = Device::default().autodiff();
        let (network, names, ties) = self.load(entries, &device);
        self.check_gradients(&network, &names, &ties, &device);
        let first = &network.layers[0].site().path;
        let merges = self.golden.has(&format!("{first}.merged_weight"));
        for layer in network.layers.iter().filter(|_| merges) {
            let (report, merged) = merge_site(layer).unwrap();
            assert!(report.output_error < 1e-5, "{}", report.output_error);
            let name = format!("{}.merged_weight", layer.site().path);
            assert_close(&name, &host(merged.transpose()), self.values(&name), MATMUL);
        }
        self.check_steps(network, &names, &ties, &device);
    }

    /// Reads the folder, which PEFT wrote, and writes it again: the same bytes of tensors, the same values in the configuration, and no
    /// field that PEFT's lacks.
    pub fn check_folder(&self, entries: &[&'static MethodEntry]) {
        let (base, names) = self.base(&Device::default());
        let loaded = folder::load(base, &names, "read", entries, &self.folder).unwrap();
        let out = tempfile::tempdir().unwrap();
        folder::save(&loaded.model, &names, "read", &loaded.spec, out.path()).unwrap();
        let bytes = |dir: &Path| std::fs::read(dir.join(TENSOR_FILE)).unwrap();
        assert!(bytes(out.path()) == bytes(&self.folder), "other tensors");
        let fields = |dir: &Path| read_config(dir).unwrap().raw;
        let (ours, theirs) = (fields(out.path()), fields(&self.folder));
        // The class of the model, which PEFT alone knows, and the version, which says how to read the folder.
        for (field, value) in ours {
            if !["auto_mapping", "peft_version"].contains(&field.as_str()) {
                assert_eq!(Some(&value), theirs.get(&field), "`{field}`");
            }
        }
    }

    /// The golden numbers called `name`.
    #[must_use]
    pub fn values(&self, name: &str) -> &[f32] {
        &self.golden.get(name).data
    }

    /// The inputs, the outputs of the network and their mean squared distance from the target.
    #[must_use]
    pub fn loss(&self, network: &Network, device: &Device) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
        let x = matrix(self.golden.get("x"), device).require_grad();
        let y = network.forward(x.clone(), &mut Pass::train(1));
        let loss = (y.clone() - matrix(self.golden.get("target"), device))
            .powi_scalar(2)
            .mean();
        (x, y, loss)
    }

    fn check_gradients(
        &self,
        network: &Network,
        names: &ParamNames,
        ties: &TieGroups,
        device: &Device,
    ) {
        let (x, y, value) = self.loss(network, device);
        assert_close("y", &host(y), self.values("y"), MATMUL);
        let grads = value.backward();
        let grad_x = host(x.grad(&grads).unwrap());
        assert_close("grad_x", &grad_x, self.values("grad_x"), MATMUL);
        let mut grads = GradientsParams::from_grads(grads, network);
        ties.gather(&mut grads);
        let gradients = gradients(network, names, &grads);
        let followers = ties.followers();
        let mut trained = Trainable::of(network, names).params;
        trained.retain(|param| !followers.contains(&param.id));
        assert_eq!(gradients.len(), trained.len());
        for (name, actual) in gradients {
            let name = format!("{name}@grad");
            assert_close(&name, &actual, self.values(&name), MATMUL);
        }
    }

    fn check_steps(
        &self,
        mut network: Network,
        names: &ParamNames,
        ties: &TieGroups,
        device: &Device,
    ) {
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
            let mut gradients = GradientsParams::from_grads(value.backward(), &network);
            ties.gather(&mut gradients);
            network = optimizer.step(adamw["lr"].as_f64().unwrap(), network, gradients);
            network = ties.broadcast(network);
            let mut trained = Trainable::of(&network, names).params;
            trained.retain(|param| !ties.followers().contains(&param.id));
            let tensors = adapter_tensors(&network, "default");
            for param in trained {
                let name = format!("{}@step{step}", param.name);
                let actual = &tensors[&param.name].data;
                assert_close(&name, actual, self.values(&name), MATMUL);
            }
        }
    }
}

/// The gradient of every trained tensor that has one, by its name in files and in their order.
#[must_use]
pub fn gradients<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    gradients: &GradientsParams,
) -> BTreeMap<String, Vec<f32>> {
    let trained = Trainable::of(model, names).params;
    let layouts = layouts(model);
    let read = |param: &TrainableParam| {
        let values = match param.shape.len() {
            1 => gradients.get::<1>(param.id).map(host),
            2 => gradients.get::<2>(param.id).map(host),
            3 => gradients.get::<3>(param.id).map(host),
            _ => gradients.get::<4>(param.id).map(host),
        };
        let own = names.get(param.id).map(|(_, layout)| layout);
        let layout = own.or_else(|| layouts.get(&param.id).copied());
        let layout = layout.unwrap_or(Layout::AsIs);
        Some(to_file(&param.shape, values?, layout).data)
    };
    trained
        .iter()
        .filter_map(|param| Some((param.name.clone(), read(param)?)))
        .collect()
}

/// How files hold the parameters of every adapter.
fn layouts<M: Adaptable>(model: &M) -> BTreeMap<ParamId, Layout> {
    let mut layouts = BTreeMap::new();
    model.visit_linears(&mut |linear| {
        for name in linear.adapter_names() {
            let Some(adapter) = linear.adapter(name) else {
                continue;
            };
            let ids = fields::ids(adapter);
            for tensor in adapter.tensors() {
                layouts.extend(ids.get(&*tensor.field).map(|(id, _)| (*id, tensor.layout)));
            }
        }
    });
    layouts
}

/// The values of a tensor.
#[must_use]
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// A tensor of a file as it is there.
#[must_use]
pub fn matrix(tensor: &HostTensor, device: &Device) -> Tensor<2> {
    let data = TensorData::new(tensor.data.clone(), tensor.shape.clone());
    Tensor::from_data(data, device)
}

/// A file's matrix `[d_out, d_in]` in Burn's orientation.
fn transposed(tensor: &HostTensor, device: &Device) -> Tensor<2> {
    matrix(tensor, device).transpose().detach()
}
