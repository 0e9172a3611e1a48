//! Golden cases of this crate, and small models with adapters of its methods.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by test files that each use a part; a panic is the failure report"
)]

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::ParamId;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use peft_core::target::TargetRules;
use peft_core::testing::case::{Case, Network};
use peft_core::testing::contract;
use peft_core::testing::tiny::Tiny;
use peft_core::testing::tolerance::{DECOMPOSITION, assert_close};
use peft_core::values::set_values;
use peft_core::{
    AdaptedLinear, AdapterSpec, Method, ParamNames, PeftError, Trainable, attach, init,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The golden case `tests/golden/METHOD/NAME`.
pub(crate) fn case(method: &str, name: &str) -> Case {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    Case::read(&golden.join(method), name)
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

/// The network after three AdamW steps on the case's batch, whose losses are those of the case.
pub(crate) fn after_three_steps(mut network: Network, case: &Case, device: &Device) -> Network {
    let adamw = &case.about["adamw"];
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(adamw["weight_decay"].as_f64().unwrap() as f32)
        .with_epsilon(adamw["eps"].as_f64().unwrap() as f32)
        .init();
    for step in 0..=3 {
        let (_, _, loss) = case.loss(&network, device);
        let expected = case.about["losses"][step].as_f64().unwrap() as f32;
        let actual = loss.clone().into_scalar::<f32>();
        assert_close("loss", &[actual], &[expected], DECOMPOSITION);
        if step < 3 {
            let grads = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(adamw["lr"].as_f64().unwrap(), network, grads);
        }
    }
    network
}
