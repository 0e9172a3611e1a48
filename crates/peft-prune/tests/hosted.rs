//! LoRA-drop on a module that knows nothing of adapters: layers share a pair there too.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, activation};
use peft_core::lora::LoraAdapter;
use peft_core::target::TargetRules;
use peft_core::tie::TieGroups;
use peft_core::{Adaptable, AdapterSpec, Hosted, attach, folder, hosted};
use peft_prune::lora_drop::LORA_DROP;
use support::{D, host, inputs, sharing, spec};

fn output(model: &Hosted<Vec<Linear>>, device: &Device) -> Tensor<2> {
    let layers = model.module();
    let layers = layers.iter();
    layers.fold(inputs(device), |x, layer| {
        activation::tanh(layer.forward(x))
    })
}

fn pairs(model: &Hosted<Vec<Linear>>) -> Vec<Vec<f32>> {
    let mut pairs = Vec::new();
    model.visit_linears(&mut |linear| {
        let adapter = linear.adapter("a").unwrap();
        let pair = adapter.downcast_ref::<LoraAdapter>().unwrap();
        pairs.push([host(pair.a.val()), host(pair.b.val())].concat());
    });
    pairs
}

#[test]
fn a_shared_pair_trains_as_one_and_is_saved_once() {
    let device = Device::flex().autodiff();
    let layers: Vec<Linear> = (0..3)
        .map(|_| LinearConfig::new(D, D).init(&device))
        .collect();
    let spec = AdapterSpec {
        targets: TargetRules::list(["0", "1", "2"]),
        ..spec(sharing(&[("2", "0")]))
    };
    let (model, names) = hosted(layers.clone()).unwrap();
    let (mut model, _) = attach(model, &names, "a", &spec, 1).unwrap();
    let ties = TieGroups::of(&model, "a", spec.method.as_ref()).unwrap();
    let start = pairs(&model);
    let mut optimizer = AdamWConfig::new().init();
    for _ in 0..5 {
        let loss = (output(&model, &device) - 0.3).powi_scalar(2).mean();
        let mut grads = GradientsParams::from_grads(loss.backward(), &model);
        ties.gather(&mut grads);
        model = ties.broadcast(optimizer.step(1e-2, model, grads));
    }
    let end = pairs(&model);
    assert_eq!(end[0], end[2]);
    assert!(end[0] != end[1] && end[0] != start[0]);

    let dir = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "a", &spec, dir.path()).unwrap();
    let tensors = peft_core::file::read_folder(dir.path()).unwrap().tensors;
    assert_eq!(tensors.len(), 4);
    let (fresh, names) = hosted(layers).unwrap();
    let loaded = folder::load(fresh, &names, "a", &[&LORA_DROP], dir.path()).unwrap();
    assert_eq!(
        host(output(&loaded.model, &device)),
        host(output(&model, &device))
    );
}
