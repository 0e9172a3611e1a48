//! IA3 against Hugging Face PEFT: folders, forward, gradients, AdamW steps, merged weights; and what its options mean.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::PathBuf;

use burn::tensor::Device;
use peft_core::file::{PeftConfig, read_config};
use peft_core::target::{Target, TargetRules};
use peft_core::testing::case::Case;
use peft_core::testing::outside::data;
use peft_core::testing::tiny::Tiny;
use peft_core::{AdapterSpec, MethodEntry, PeftError, attach, folder};
use peft_vectors::ia3::{IA3, Ia3, Names};
use serde_json::{Map, Value, json};

const ENTRIES: [&MethodEntry; 1] = [&IA3];
/// Outputs alone, inputs by the names of layers, inputs by a pattern.
const CASES: [&str; 3] = ["ia3", "ia3-feedforward", "ia3-regex"];

fn case(name: &str) -> Case {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "ia3"]
        .iter()
        .collect();
    Case::read(&root, name)
}

#[test]
fn ia3_equals_peft() {
    for name in CASES {
        case(name).check(&ENTRIES);
    }
}

#[test]
fn a_folder_of_peft_is_written_again_byte_for_byte_with_an_equal_config() {
    for name in CASES {
        case(name).check_folder(&ENTRIES);
    }
}

/// The configuration that is written for inputs of `feedforward` where these are adapted.
fn written(feedforward: Names, target: Target) -> Map<String, Value> {
    let (model, names) = Tiny::new(&Device::default());
    let spec = AdapterSpec {
        method: Box::new(Ia3 {
            feedforward_modules: feedforward,
        }),
        targets: TargetRules::new(target),
        ..AdapterSpec::default()
    };
    let (model, _) = attach(model, &names, "new", &spec, 0).unwrap();
    let out = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "new", &spec, out.path()).unwrap();
    let (fresh, names) = Tiny::new(&Device::default());
    folder::load(fresh, &names, "again", &ENTRIES, out.path()).unwrap();
    read_config(out.path()).unwrap().raw
}

/// PEFT does not load a configuration in which a name of `feedforward_modules` is no target, but takes any pattern.
#[test]
fn names_that_are_no_targets_are_written_as_a_pattern() {
    let both = ["layers.0.up_proj", "down_proj"].map(String::from);
    let down = || Names::Ends(vec!["down_proj".into()]);
    let among = written(down(), Target::List(both.to_vec()));
    assert_eq!(among["feedforward_modules"], json!(["down_proj"]));
    let beside = Names::Ends(vec!["1.down_proj".into(), "up_proj".into()]);
    let beside = written(beside, Target::List(both.to_vec()));
    let pattern = r".*(1\.down_proj|up_proj)";
    assert_eq!(beside["feedforward_modules"], pattern);
    let all = written(down(), Target::AllLinear);
    let targets = all["target_modules"].as_array().unwrap();
    let expected = match targets.contains(&json!("down_proj")) {
        true => json!(["down_proj"]),
        false => json!(".*(down_proj)"),
    };
    assert_eq!(all["feedforward_modules"], expected);
}

#[test]
fn names_of_nothing_and_broken_patterns_are_refused() {
    let (model, names) = Tiny::new(&Device::default());
    let spec = AdapterSpec {
        method: Box::new(Ia3 {
            feedforward_modules: Names::Ends(vec!["donw_proj".into()]),
        }),
        ..AdapterSpec::default()
    };
    let error = attach(model, &names, "new", &spec, 0).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("donw_proj") && message.contains("layers.1.down_proj"),
        "{message}"
    );
    let broken = json!({ "feedforward_modules": "(" });
    let error = (IA3.from_options)(broken.as_object().unwrap()).unwrap_err();
    assert!(matches!(error, PeftError::Target(_)), "{error}");
    let number = json!({ "feedforward_modules": 3 });
    let error = (IA3.from_options)(number.as_object().unwrap()).unwrap_err();
    assert!(error.to_string().contains("a list of names"), "{error}");
}

#[test]
fn a_configuration_that_leaves_the_names_to_the_architecture_is_refused() {
    let config =
        json!({ "peft_type": "IA3", "target_modules": ["k"], "feedforward_modules": null });
    let config = PeftConfig::from_map(config.as_object().unwrap().clone()).unwrap();
    let error = folder::spec_of(&ENTRIES, &config).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`feedforward_modules` is missing"),
        "{error}"
    );
}

#[test]
fn published_configurations_are_read() {
    let Some(folder) = data("adapter_configs") else {
        return;
    };
    let comparison = folder.join("hf_peft_method_comparison");
    for (name, feedforward) in [
        ("MetaMathQA--ia3--llama-3.2-3B-all-attn-5k-lr0.005", 3),
        ("image-gen--ia3--flux2-klein-default", 11),
    ] {
        let file = comparison.join(format!("{name}.json"));
        let config = PeftConfig::parse(&std::fs::read(&file).unwrap(), &file).unwrap();
        let spec = folder::spec_of(&ENTRIES, &config).unwrap();
        let names = &spec.method.options()["feedforward_modules"];
        assert_eq!(names.as_array().map(Vec::len), Some(feedforward), "{name}");
    }
}
