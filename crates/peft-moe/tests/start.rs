//! Experts that start as LoRA folders.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::path::Path;

use burn::tensor::Device;
use peft_core::lora::Lora;
use peft_core::target::TargetRules;
use peft_core::testing::case::Network;
use peft_core::testing::tolerance::{GRADIENT, assert_close};
use peft_core::{AdapterSpec, Method, Pass, folder};
use peft_moe::{MoeLora, start_experts};
use support::{D_OUT, RANK, adapted, host, inputs, mixture, numbers, set};

fn output(network: &Network, device: &Device) -> Vec<f32> {
    host(network.forward(inputs(device), &mut Pass::eval()))
}

fn spec(method: Box<dyn Method>, alpha: f64) -> AdapterSpec {
    AdapterSpec {
        method,
        rank: RANK,
        alpha,
        targets: TargetRules::list(["layer"]),
        ..AdapterSpec::default()
    }
}

/// Writes a LoRA folder with another `alpha` than the mixture's, and says what its adapter adds.
fn lora(dir: &Path, seed: usize, device: &Device) -> Vec<f32> {
    let (network, names) = adapted(Box::new(Lora::default()), false, device);
    let base = peft_core::detach(network, "a").unwrap();
    let spec = spec(Box::new(Lora::default()), 7.0);
    let (network, _) = peft_core::attach(base, &names, "b", &spec, seed as u64).unwrap();
    let without = output(&network, device);
    let pair = network.layers[0].adapter("b").unwrap().pairs()[0];
    let network = set(network, pair.b, numbers(seed, RANK * D_OUT, 0.5));
    std::fs::create_dir_all(dir).unwrap();
    folder::save(&network, &names, "b", &spec, dir).unwrap();
    let with = output(&network, device).into_iter();
    with.zip(without).map(|(a, b)| a - b).collect()
}

#[test]
fn two_experts_of_equal_shares_are_the_mean_of_two_adapters() {
    let device = Device::flex();
    let place = tempfile::tempdir().unwrap();
    let dirs = ["one", "two"].map(|name| place.path().join(name));
    let deltas = [lora(&dirs[0], 31, &device), lora(&dirs[1], 32, &device)];
    let method = MoeLora {
        experts: 2,
        top_k: 2,
        ..MoeLora::default()
    };
    let (network, _) = adapted(Box::new(method), false, &device);
    let base = output(&network, &device);
    let network = start_experts(network, "a", &dirs).unwrap();
    let router = mixture(&network).router;
    let network = set(
        network,
        router.id,
        vec![0.0; router.dims().iter().product()],
    );
    let found: Vec<f32> = output(&network, &device)
        .iter()
        .zip(&base)
        .map(|(with, base)| with - base)
        .collect();
    let mean = deltas[0].iter().zip(&deltas[1]);
    let mean: Vec<f32> = mean.map(|(a, b)| 0.5 * (a + b)).collect();
    assert!(mean.iter().any(|value| value.abs() > 0.1), "{mean:?}");
    assert_close("mixture", &found, &mean, GRADIENT);
}

#[test]
fn what_does_not_fit_is_said() {
    let device = Device::flex();
    let place = tempfile::tempdir().unwrap();
    let dirs = ["one", "two"].map(|name| place.path().join(name));
    dirs.iter().for_each(|dir| drop(lora(dir, 31, &device)));
    let one = MoeLora {
        experts: 1,
        top_k: 1,
        ..MoeLora::default()
    };
    let (network, _) = adapted(Box::new(one), false, &device);
    let error = start_experts(network.clone(), "a", &dirs).unwrap_err();
    assert!(error.to_string().contains("at most 1"), "{error}");
    let config = dirs[0].join("adapter_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"layer\"", "\"other\"")).unwrap();
    assert!(start_experts(network.clone(), "a", &dirs[..1]).is_err());
    let missing = [place.path().join("none")];
    let error = start_experts(network, "a", &missing).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}
