//! LoRA and rsLoRA against Hugging Face PEFT: forward, delta, gradients, AdamW steps, merged weight.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::{Path, PathBuf};

use burn::module::{Module, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData, activation};
use peft_core::file::HostTensor;
use peft_core::lora::LoraAdapter;
use peft_core::merge::merge_site;
use peft_core::testing::golden::Golden;
use peft_core::testing::tolerance::{GRADIENT, MATMUL, STEPS, assert_close};
use peft_core::{AdaptedLinear, AnyAdapter, Pass, Site, SiteKind, param_id};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lora")
}

/// A file's matrix `[rows, columns]` as a tensor `[columns, rows]`.
fn transposed(tensor: &HostTensor, device: &Device) -> Tensor<2> {
    let data = TensorData::new(tensor.data.clone(), tensor.shape.clone());
    Tensor::<2>::from_data(data, device).transpose()
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Row-major values of the transposed matrix, as files hold them.
fn file_order(tensor: Tensor<2>) -> Vec<f32> {
    host(tensor.transpose())
}

#[derive(Module, Debug)]
struct Network {
    layers: Vec<AdaptedLinear>,
}

impl Network {
    fn read(case: &Value, golden: &Golden, device: &Device) -> Self {
        let layers = case["sites"].as_array().unwrap().iter().map(|site| {
            let path = site["path"].as_str().unwrap();
            let size = |key: &str| usize::try_from(site[key].as_u64().unwrap()).unwrap();
            let base = |name: &str| param_id(&format!("{path}.{name}"));
            let weight = transposed(golden.get(&format!("{path}.weight")), device);
            let bias = format!("{path}.bias");
            let bias = golden.has(&bias).then(|| {
                let values = golden.get(&bias).data.as_slice();
                Param::initialized(base("bias"), Tensor::<1>::from_floats(values, device))
            });
            let factor = |name: &str| {
                let value = transposed(golden.get(&format!("{path}.{name}")), device);
                Param::initialized(base(name), value.detach()).set_require_grad(true)
            };
            let mut layer = AdaptedLinear::new(
                Site::new(path, size("d_in"), size("d_out")),
                Param::initialized(base("weight"), weight.detach()),
                bias,
            );
            layer.insert(
                "default",
                AnyAdapter::new(LoraAdapter {
                    a: factor("lora_a"),
                    b: factor("lora_b"),
                    scale: site["scaling"].as_f64().unwrap(),
                    dropout: 0.0,
                    kind: SiteKind::Linear,
                }),
            );
            layer
        });
        Self {
            layers: layers.collect(),
        }
    }

    /// One linear layer, or two blocks `down(tanh(up(x)))`.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mut pass = Pass::train(1);
        if let [only] = self.layers.as_slice() {
            return only.forward(x, &mut pass);
        }
        self.layers.chunks(2).fold(x, |x, block| {
            let hidden = activation::tanh(block[0].forward(x, &mut pass));
            block[1].forward(hidden, &mut pass)
        })
    }
}

fn loss(network: &Network, golden: &Golden, device: &Device) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
    let matrix = |name: &str| {
        let tensor = golden.get(name);
        Tensor::<2>::from_data(
            TensorData::new(tensor.data.clone(), tensor.shape.clone()),
            device,
        )
    };
    let x = matrix("x").require_grad();
    let y = network.forward(x.clone());
    let loss = (y.clone() - matrix("target")).powi_scalar(2).mean();
    (x, y, loss)
}

fn check(name: &str) {
    let device = Device::default().autodiff();
    let golden = Golden::read(&folder().join(format!("{name}.safetensors")));
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let case: Value = serde_json::from_str(&text).unwrap();
    let network = Network::read(&case, &golden, &device);
    check_gradients(&network, &golden, &device);
    for layer in &network.layers {
        check_merged_weight(layer, &golden);
    }
    check_steps(network, &case, &golden, &device);
}

fn factors(layer: &AdaptedLinear) -> &LoraAdapter {
    layer.adapter("default").unwrap().downcast_ref().unwrap()
}

/// Output, gradient of the input, and gradients of every factor before training.
fn check_gradients(network: &Network, golden: &Golden, device: &Device) {
    let (x, y, value) = loss(network, golden, device);
    assert_close("y", &host(y), &golden.get("y").data, MATMUL);
    let grads = value.backward();
    let grad_x = host(x.grad(&grads).unwrap());
    assert_close("grad_x", &grad_x, &golden.get("grad_x").data, MATMUL);
    let gradients = GradientsParams::from_grads(grads, network);
    for layer in &network.layers {
        let adapter = factors(layer);
        for (what, factor) in [("grad_a", &adapter.a), ("grad_b", &adapter.b)] {
            let name = format!("{}.{what}", layer.site().path);
            let actual = file_order(gradients.get::<2>(factor.id).unwrap());
            assert_close(&name, &actual, &golden.get(&name).data, GRADIENT);
        }
    }
}

/// The merged weight and the delta inside it.
fn check_merged_weight(layer: &AdaptedLinear, golden: &Golden) {
    let path = &layer.site().path;
    let (report, merged) = merge_site(layer).unwrap();
    let error = report.output_error;
    assert!(error < 1e-5, "{path}: {error}");
    let delta = merged.clone() - layer.weight.val().inner();
    for (what, actual, tolerance) in [
        ("merged_weight", merged, MATMUL),
        ("delta_weight", delta, STEPS),
    ] {
        let name = format!("{path}.{what}");
        let expected = &golden.get(&name).data;
        assert_close(&name, &file_order(actual), expected, tolerance);
    }
}

/// Three AdamW steps: the loss before each, the factors after each.
fn check_steps(mut network: Network, case: &Value, golden: &Golden, device: &Device) {
    let adamw = &case["adamw"];
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(adamw["weight_decay"].as_f64().unwrap() as f32)
        .with_epsilon(adamw["eps"].as_f64().unwrap() as f32)
        .init();
    for step in 1..=3 {
        let (_, _, value) = loss(&network, golden, device);
        let expected = case["losses"][step - 1].as_f64().unwrap() as f32;
        let actual = value.clone().into_scalar::<f32>();
        let name = format!("loss before step {step}");
        assert_close(&name, &[actual], &[expected], STEPS);
        let gradients = GradientsParams::from_grads(value.backward(), &network);
        network = optimizer.step(adamw["lr"].as_f64().unwrap(), network, gradients);
        for layer in &network.layers {
            let adapter = factors(layer);
            for (what, factor) in [("a", &adapter.a), ("b", &adapter.b)] {
                let name = format!("{}.lora_{what}_step{step}", layer.site().path);
                let expected = &golden.get(&name).data;
                assert_close(&name, &file_order(factor.val()), expected, STEPS);
            }
        }
    }
}

#[test]
fn lora_equals_peft() {
    check("lora");
    check("lora-no-bias");
}

#[test]
fn rslora_equals_peft() {
    check("rslora");
    check("rslora-no-bias");
}

#[test]
fn rank_and_alpha_patterns_equal_peft() {
    check("patterns");
    check("patterns-rslora");
}

#[test]
fn an_orthogonal_start_equals_peft() {
    check("orthogonal");
}
