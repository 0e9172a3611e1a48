//! What LoHa, LoKr, HiRA, MiSS and RandLoRA drop while training, which configurations and options they refuse, and their exact low-rank forms.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use peft_core::file::{CONFIG_FILE, PeftConfig, TENSOR_FILE, read_folder, to_json, write_tensors};
use peft_core::testing::case::{Case, Network, host, matrix};
use peft_core::testing::outside::data;
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::{MethodEntry, Pass, PeftError, folder};
use peft_lowrank::hira::HIRA;
use peft_lowrank::loha::LOHA;
use peft_lowrank::lokr::LOKR;
use peft_lowrank::miss::MISS;
use peft_lowrank::randlora::RANDLORA;
use serde_json::{Map, Value, json};

const ENTRIES: [&MethodEntry; 5] = [&LOHA, &LOKR, &HIRA, &MISS, &RANDLORA];

fn case(method: &str, name: &str) -> Case {
    let root = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", method];
    Case::read(&root.iter().collect::<PathBuf>(), name)
}

/// The case's folder with other fields in its configuration; null takes a field out.
fn changed(case: &Case, fields: &Value, dir: &Path) {
    let folder = read_folder(&case.folder).unwrap();
    let mut config = folder.config.raw;
    for (field, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(config.remove(field)),
            value => drop(config.insert(field.clone(), value.clone())),
        }
    }
    std::fs::write(dir.join(CONFIG_FILE), to_json(&config)).unwrap();
    std::fs::copy(case.folder.join(TENSOR_FILE), dir.join(TENSOR_FILE)).unwrap();
}

fn load(case: &Case, dir: &Path) -> Result<Network, PeftError> {
    let (base, names) = case.base(&Device::default());
    folder::load(base, &names, "read", &ENTRIES, dir).map(|loaded| loaded.model)
}

fn output(model: &Network, case: &Case, mut pass: Pass<'_>) -> Vec<f32> {
    let x = matrix(case.golden.get("x"), &Device::default());
    host(model.forward(x, &mut pass))
}

#[test]
fn every_dropout_of_a_configuration_drops_in_training_alone() {
    for (method, field) in [
        ("loha", "rank_dropout"),
        ("loha", "module_dropout"),
        ("lokr", "rank_dropout"),
        ("lokr", "module_dropout"),
        ("hira", "hira_dropout"),
        ("miss", "miss_dropout"),
        ("randlora", "randlora_dropout"),
    ] {
        let case = case(method, method);
        let dir = tempfile::tempdir().unwrap();
        changed(&case, &json!({ field: 0.5 }), dir.path());
        let model = load(&case, dir.path()).unwrap();
        let expected = case.values("y");
        let plain = output(&model, &case, Pass::eval());
        assert_close(field, &plain, expected, MATMUL);
        let differs = (0..8).filter(|seed| output(&model, &case, Pass::train(*seed)) != plain);
        assert!(differs.count() > 0, "{method}: {field}");
    }
}

fn refused(case: &Case, fields: &Value) -> String {
    let dir = tempfile::tempdir().unwrap();
    changed(case, fields, dir.path());
    load(case, dir.path()).unwrap_err().to_string()
}

#[test]
fn what_a_configuration_asks_for_and_is_not_done_is_refused_by_name() {
    for (method, field, value) in [
        ("loha", "use_effective_conv2d", json!(true)),
        ("loha", "rank_dropout", json!(1.5)),
        ("loha", "module_dropout", json!("often")),
        ("loha", "alpha", json!("8")),
        ("hira", "r", json!(0)),
        ("lokr", "rank_pattern", json!({ "linear": true })),
        ("lokr", "use_effective_conv2d", json!(true)),
        ("lokr", "module_dropout", json!(-0.5)),
        ("lokr", "decompose_factor", json!(0)),
        ("lokr", "decompose_both", json!("both")),
        ("miss", "init_weights", json!("bat")),
        ("miss", "init_weights", json!("olora")),
        ("miss", "bias", json!(3)),
        ("randlora", "randlora_alpha", Value::Null),
        ("randlora", "sparse", json!("very")),
        ("randlora", "projection_prng_key", json!(-1)),
    ] {
        let case = case(method, method);
        let message = refused(&case, &json!({ field: value }));
        assert!(message.contains(field), "{method}, {field}: {message}");
    }
    let hira = case("hira", "hira");
    let message = refused(&hira, &json!({ "rank_pattern": { "linear": 2 } }));
    assert!(message.contains("rank_pattern"), "{message}");
}

#[test]
fn options_that_are_wrong_are_named() {
    for (entry, option, value) in [
        (&LOHA, "rank_dropout", json!(1)),
        (&LOHA, "count", json!(3)),
        (&LOKR, "decompose_factor", json!(0)),
        (&LOKR, "rank_dropout_scale", json!(true)),
        (&LOKR, "init", json!("pissa")),
        (&HIRA, "dropout", json!(-1)),
        (&MISS, "mini_r", json!(-2)),
        (&RANDLORA, "basis", json!("thin")),
    ] {
        let options = Map::from_iter([(option.to_owned(), value.clone())]);
        let error = (entry.from_options)(&options).unwrap_err().to_string();
        let found = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        assert!(error.contains(option) || error.contains(&found), "{error}");
        assert!(error.contains(entry.id), "{error}");
    }
}

#[test]
fn sizes_that_a_layer_cannot_have_are_named() {
    let even = case("miss", "miss-mini");
    let message = refused(&even, &json!({ "mini_r": 4 }));
    assert!(
        message.contains("mini_r") && message.contains("layers.0.up"),
        "{message}"
    );
    let one = case("miss", "miss");
    let message = refused(&one, &json!({ "r": 13 }));
    assert!(
        message.contains("13") && message.contains("12"),
        "{message}"
    );
}

#[test]
fn a_basis_beside_a_layer_that_is_not_that_of_all_is_refused() {
    let case = case("randlora", "randlora-sizes");
    let dir = tempfile::tempdir().unwrap();
    changed(&case, &json!({}), dir.path());
    load(&case, dir.path()).unwrap();
    let key = "base_model.model.layers.1.up.randlora_B";
    let mut tensors = read_folder(&case.folder).unwrap().tensors;
    tensors.get_mut(key).unwrap().data[7] += 1.0;
    write_tensors(&dir.path().join(TENSOR_FILE), &tensors).unwrap();
    let message = load(&case, dir.path()).unwrap_err().to_string();
    assert!(message.contains(key), "{message}");
}

#[test]
fn exact_pairs_give_the_update_wherever_a_method_has_them() {
    for (method, name, pairs) in [
        ("loha", "loha", 1),
        ("loha", "loha-patterns", 1),
        ("lokr", "lokr", 0),
        ("lokr", "lokr-both", 4),
        ("lokr", "lokr-factor", 2),
        ("miss", "miss-mini", 4),
        ("hira", "hira", 0),
        ("randlora", "randlora", 0),
    ] {
        let case = case(method, name);
        let model = load(&case, &case.folder).unwrap();
        let mut found = 0;
        for layer in &model.layers {
            let adapter = layer.adapter("read").unwrap();
            let Some((a, b)) = adapter.low_rank() else {
                continue;
            };
            found += 1;
            let merged = format!("{}.merged_weight", layer.site().path);
            let weight = layer.weight.val() + a.matmul(b);
            assert_close(
                &merged,
                &host(weight.transpose()),
                case.values(&merged),
                MATMUL,
            );
        }
        assert_eq!(found, pairs, "{name}");
    }
}

#[test]
fn published_configurations_are_read_with_rank_and_alpha() {
    let Some(folder) = data("adapter_configs") else {
        return;
    };
    let mut read = 0;
    for file in std::fs::read_dir(folder.join("hf_peft_method_comparison")).unwrap() {
        let file = file.unwrap().path();
        let config = PeftConfig::parse(&std::fs::read(&file).unwrap(), &file).unwrap();
        if !ENTRIES.iter().any(|entry| (entry.recognises)(&config)) {
            continue;
        }
        read += 1;
        match folder::spec_of(&ENTRIES, &config) {
            Ok(spec) => {
                let field = |name: &str| config.raw.get(name).and_then(Value::as_f64);
                assert_eq!(Some(spec.rank as f64), field("r"), "{}", file.display());
                if spec.method.entry().alpha {
                    let alpha = field(spec.method.alpha_field());
                    assert_eq!(Some(spec.alpha), alpha, "{}", file.display());
                }
            }
            // What the architecture's default was is not in the file.
            Err(error) => {
                assert_eq!(config.target, None, "{}: {error}", file.display());
                assert!(error.to_string().contains("target_modules"), "{error}");
            }
        }
    }
    assert_eq!(read, 6);
}
