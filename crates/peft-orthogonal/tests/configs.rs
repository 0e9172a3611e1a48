//! What configurations of PEFT are read as, and those that are refused by name.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use burn::tensor::Device;
use peft_core::file::PeftConfig;
use peft_core::folder::spec_of;
use peft_core::target::TargetRules;
use peft_core::testing::outside::data;
use peft_core::testing::tiny::Tiny;
use peft_core::{AdapterSpec, MethodEntry, PeftError, attach};
use peft_orthogonal::boft::{BOFT, Boft};
use peft_orthogonal::hra::HRA;
use peft_orthogonal::oft::OFT;
use serde_json::{Value, json};

const ENTRIES: [&MethodEntry; 3] = [&HRA, &OFT, &BOFT];

fn read(own: &Value) -> Result<AdapterSpec, PeftError> {
    let mut fields = json!({ "target_modules": ["q"] });
    let fields = fields.as_object_mut().unwrap();
    fields.extend(own.as_object().unwrap().clone());
    spec_of(&ENTRIES, &PeftConfig::from_map(fields.clone()).unwrap())
}

#[test]
fn fields_of_peft_are_options_here() {
    let spec = read(&json!({ "peft_type": "HRA", "r": 6, "apply_GS": true })).unwrap();
    assert_eq!(spec.rank, 6);
    assert_eq!(spec.method.options()["apply_gs"], true);
    let spec = read(&json!({ "peft_type": "OFT", "r": 32, "oft_block_size": 0 })).unwrap();
    assert_eq!(
        (spec.rank, &spec.method.options()["oft_block_size"]),
        (32, &json!(0))
    );
    let boft = json!({
        "peft_type": "BOFT", "boft_block_size": 0, "boft_block_num": 8, "boft_n_butterfly_factor": 2, "boft_dropout": 0.1,
    });
    let options = read(&boft).unwrap().method.options();
    assert_eq!(
        Value::Object(options),
        json!({ "boft_block_size": 0, "boft_block_num": 8, "boft_n_butterfly_factor": 2, "dropout": 0.1 })
    );
}

#[test]
fn folders_that_mean_something_else_are_refused() {
    let series = |version: Option<&str>| json!({ "peft_type": "OFT", "oft_block_size": 8, "use_cayley_neumann": true, "peft_version": version });
    for (config, word) in [
        (
            json!({ "peft_type": "OFT", "r": 8 }),
            "`oft_block_size` is missing",
        ),
        (series(None), "`use_cayley_neumann` = true"),
        (series(Some("0.17.1")), "`use_cayley_neumann` = true"),
        (
            json!({ "peft_type": "OFT", "r": 8, "oft_block_size": 8 }),
            "either `r` or `oft_block_size`",
        ),
        (
            json!({ "peft_type": "BOFT", "boft_block_num": 2 }),
            "either `boft_block_size` or `boft_block_num`",
        ),
        (
            json!({ "peft_type": "BOFT", "boft_n_butterfly_factor": 0 }),
            "expected 1 to 32 factors, found 0",
        ),
        (json!({ "peft_type": "HRA", "apply_GS": 3 }), "apply_GS"),
    ] {
        let message = read(&config).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    for version in ["0.18.0", "0.21.2", "1.0", "0.18.2.dev0@UNKNOWN"] {
        read(&series(Some(version))).unwrap();
    }
}

#[test]
fn layers_that_blocks_do_not_divide_are_named() {
    let boft = |size, factors| Boft {
        boft_block_size: size,
        boft_n_butterfly_factor: factors,
        ..Boft::default()
    };
    // 6 inputs.
    for (method, word) in [
        (boft(4, 1), "found 4"),
        (boft(3, 2), "found 2 blocks of 3"),
        (boft(2, 2), "found 3 blocks of 2"),
    ] {
        let (model, names) = Tiny::new(&Device::default());
        let spec = AdapterSpec {
            method: Box::new(method),
            targets: TargetRules::list(["up_proj"]),
            ..AdapterSpec::default()
        };
        let message = attach(model, &names, "new", &spec, 0)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("layers.0.up_proj") && message.contains(word),
            "{message}"
        );
    }
}

#[test]
fn a_published_configuration_is_read() {
    let Some(folder) = data("adapter_configs") else {
        return;
    };
    let name = "hf_peft_method_comparison/MetaMathQA--oft--llama-3.2-3B-rank32.json";
    let file = folder.join(name);
    let config = PeftConfig::parse(&std::fs::read(&file).unwrap(), &file).unwrap();
    let spec = spec_of(&ENTRIES, &config).unwrap();
    assert_eq!((spec.method.entry().id, spec.rank), ("oft", 32));
}
