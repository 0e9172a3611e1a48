//! AdapterBias against its formula in PyTorch: outputs, gradients, AdamW steps, merged weights, folders; and layers without a bias.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Device;
use peft_core::file::read_folder;
use peft_core::merge::merge;
use peft_core::testing::case::{Case, Network};
use peft_core::{
    AdaptedLinear, AdapterSpec, MethodEntry, PeftError, attach, folder, hosted, named,
};
use peft_vectors::adapterbias::{ADAPTER_BIAS, AdapterBias};

const ENTRIES: [&MethodEntry; 1] = [&ADAPTER_BIAS];
/// With an offset and without.
const CASES: [&str; 2] = ["adapterbias", "adapterbias-plain"];

fn case(name: &str) -> Case {
    let root = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "adapterbias"];
    Case::read(&root.iter().collect::<PathBuf>(), name)
}

#[test]
fn adapterbias_equals_its_formula() {
    for name in CASES {
        case(name).check(&ENTRIES);
    }
}

#[test]
fn a_folder_is_written_again_as_it_was() {
    for name in CASES {
        let case = case(name);
        let (base, names) = case.base(&Device::default());
        let loaded = folder::load(base, &names, "read", &ENTRIES, &case.folder).unwrap();
        let out = tempfile::tempdir().unwrap();
        folder::save(&loaded.model, &names, "read", &loaded.spec, out.path()).unwrap();
        let tensors = |dir: &Path| read_folder(dir).unwrap().tensors;
        assert!(tensors(out.path()) == tensors(&case.folder), "{name}");
    }
}

fn without_bias() -> Vec<Linear> {
    let linear = LinearConfig::new(6, 4).with_bias(false);
    vec![linear.init(&Device::default())]
}

fn spec(offset: bool) -> AdapterSpec {
    AdapterSpec {
        method: Box::new(AdapterBias { offset }),
        ..AdapterSpec::default()
    }
}

#[test]
fn an_offset_does_not_merge_into_a_layer_without_a_bias() {
    for offset in [true, false] {
        let layers = without_bias().into_iter().map(AdaptedLinear::from);
        let model = Network {
            layers: layers.collect(),
        };
        let (model, names) = named(model).unwrap();
        let (model, _) = attach(model, &names, "new", &spec(offset), 0).unwrap();
        let merged = merge(model.valid());
        let is_refused = matches!(merged, Err(PeftError::NoEffectiveWeight { .. }));
        assert_eq!(is_refused, offset);

        let (model, names) = hosted(without_bias()).unwrap();
        let attached = attach(model, &names, "new", &spec(offset), 0);
        let is_refused = matches!(attached, Err(PeftError::NoEffectiveWeight { .. }));
        assert_eq!(is_refused, offset);
    }
}
