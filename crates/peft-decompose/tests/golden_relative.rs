//! PiSSA, OLoRA and MiLoRA against Hugging Face PEFT: the start, three AdamW steps, and the kinds of folders it writes.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use peft_core::file::{PeftConfig, read_config};
use peft_core::lora::{LORA, LoraAdapter, RSLORA, Scaling};
use peft_core::testing::tolerance::{DECOMPOSITION, assert_close};
use peft_core::{AdapterSpec, MethodEntry, ParamNames, Pass, attach, folder};
use peft_decompose::milora::MILORA;
use peft_decompose::olora::OLORA;
use peft_decompose::pissa::PISSA;
use peft_decompose::relative::RelativeAdapter;
use serde_json::json;

use peft_core::testing::case::{Case, Network, host, matrix};
use support::{after_three_steps, case};

const ENTRIES: [&MethodEntry; 5] = [&LORA, &RSLORA, &PISSA, &OLORA, &MILORA];
const CASES: [(&str, &str); 9] = [
    ("pissa", "pissa"),
    ("pissa", "pissa-rslora"),
    ("pissa", "pissa-patterns"),
    ("olora", "olora"),
    ("olora", "olora-rslora"),
    ("olora", "olora-patterns"),
    ("milora", "milora"),
    ("milora", "milora-rslora"),
    ("milora", "milora-patterns"),
];

fn output(network: &Network, case: &Case, device: &Device) -> Tensor<2> {
    let x = matrix(case.golden.get("x"), device);
    network.forward(x, &mut Pass::train(1))
}

/// PEFT decomposes and subtracts in f32, so its own numbers are no better than this.
fn expect(case: &Case, what: &str, actual: Tensor<2>) {
    let expected = &case.golden.get(what).data;
    assert_close(what, &host(actual), expected, DECOMPOSITION);
}

/// What was attached in PEFT, with its rank, alpha and patterns.
fn spec(method: &str, case: &Case) -> AdapterSpec {
    let config = case.about["config"].as_object().unwrap().clone();
    let config = PeftConfig::from_map(config).unwrap();
    let entry = ENTRIES.iter().find(|entry| entry.id == method).unwrap();
    let scaling = json!({ "scaling": Scaling::of(&config) });
    AdapterSpec {
        method: (entry.from_options)(scaling.as_object().unwrap()).unwrap(),
        ..folder::spec_of(&ENTRIES, &config).unwrap()
    }
}

/// A network after three steps, and what was attached.
fn trained(method: &str, name: &str) -> (Network, ParamNames, AdapterSpec) {
    let case = case(method, name);
    let device = Device::default().autodiff();
    let (base, names) = case.base(&device);
    let spec = spec(method, &case);
    let (network, _) = attach(base, &names, "default", &spec, 1).unwrap();
    (after_three_steps(network, &case, &device), names, spec)
}

#[test]
fn training_from_the_start_equals_peft_and_begins_at_the_base() {
    for (method, name) in CASES {
        let case = case(method, name);
        let device = Device::default().autodiff();
        let (base, names) = case.base(&device);
        let spec = spec(method, &case);
        let (network, _) = attach(base, &names, "default", &spec, 1).unwrap();
        expect(&case, "y_start", output(&network, &case, &device));
        for layer in &network.layers {
            let adapter = layer.adapter("default").unwrap();
            let start = adapter.downcast_ref::<RelativeAdapter>().unwrap();
            let product = start.a.val().matmul(start.b.val()).mul_scalar(start.scale);
            let what = format!("{}.start", layer.site().path);
            expect(&case, &what, product.transpose());
        }
        let (network, ..) = trained(method, name);
        expect(&case, "y", output(&network, &case, &device));
    }
}

#[test]
fn both_kinds_of_folders_that_peft_writes_give_its_outputs() {
    for (method, name) in CASES {
        for kind in ["raw", "safe"] {
            let case = case(method, name);
            let device = Device::default();
            let dir = case.folder.with_file_name(format!("{name}-{kind}"));
            // PEFT knows no MiLoRA by itself.
            if (method, kind) == ("milora", "raw") {
                continue;
            }
            let (base, names) = case.base(&device);
            let loaded = folder::load(base, &names, "default", &ENTRIES, &dir).unwrap();
            let plain = loaded.spec.method.stored().is_none();
            assert_eq!(plain, kind == "safe", "{name}");
            expect(&case, "y", output(&loaded.model, &case, &device));
        }
    }
}

#[test]
fn a_folder_is_written_as_lora_of_twice_the_rank_with_the_same_outputs() {
    for (method, name) in CASES {
        let case = case(method, name);
        let device = Device::default();
        let (network, names, spec) = trained(method, name);
        let network = network.valid();
        let dir = tempfile::tempdir().unwrap();
        folder::save(&network, &names, "default", &spec, dir.path()).unwrap();

        let written = read_config(dir.path()).unwrap();
        let peft = read_config(&case.folder.with_file_name(format!("{name}-safe"))).unwrap();
        assert_eq!(written.init_lora_weights, json!(true), "{name}");
        assert_eq!((written.r, written.lora_alpha), (peft.r, peft.lora_alpha));
        assert_eq!(written.rank_pattern, peft.rank_pattern, "{name}");
        assert_eq!(written.alpha_pattern, peft.alpha_pattern, "{name}");

        let (base, names) = case.base(&device);
        let again = folder::load(base, &names, "again", &ENTRIES, dir.path()).unwrap();
        let adapter = again.model.layers[0].adapter("again").unwrap();
        assert!(adapter.downcast_ref::<LoraAdapter>().is_some());
        let before = host(output(&network, &case, &device));
        assert_eq!(host(output(&again.model, &case, &device)), before, "{name}");
    }
}

#[test]
fn a_run_that_goes_on_from_its_folder_keeps_its_start() {
    let case = case("pissa", "pissa-patterns");
    let device = Device::default();
    let raw = case.folder.with_file_name("pissa-patterns-raw");
    let (base, names) = case.base(&device);
    let loaded = folder::load(base.clone(), &names, "default", &ENTRIES, &raw).unwrap();
    let dir = tempfile::tempdir().unwrap();
    folder::save(&loaded.model, &names, "default", &loaded.spec, dir.path()).unwrap();
    let (fresh, _) = attach(base, &names, "default", &loaded.spec, 1).unwrap();
    let before = host(output(&fresh, &case, &device));
    let spec = &loaded.spec;
    let restored = folder::restore(fresh, &names, "default", spec, dir.path()).unwrap();
    let after = host(output(&restored, &case, &device));
    assert_eq!(after, host(output(&loaded.model, &case, &device)));
    assert_ne!(after, before);
    for (ours, theirs) in restored.layers.iter().zip(&loaded.model.layers) {
        let factor = |layer: &peft_core::AdaptedLinear| {
            let adapter = layer.adapter("default").unwrap();
            let adapter = adapter.downcast_ref::<RelativeAdapter>().unwrap();
            (adapter.a.id, host(adapter.a.val()))
        };
        assert_eq!(factor(ours), factor(theirs));
    }
}
