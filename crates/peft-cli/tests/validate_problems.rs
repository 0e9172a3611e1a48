//! `peft validate` on folders with something wrong, and against models: everything is named at once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::{model, verdict};
use peft_core::file::{AdapterFolder, HostTensor, read_folder, write_folder};
use serde_json::{Value, json};

fn list<'a>(verdict: &'a Value, kind: &str) -> Vec<&'a str> {
    let items = verdict[kind].as_array().unwrap();
    items.iter().map(|item| item.as_str().unwrap()).collect()
}

/// A copy of the tiny BERT's adapter with changes.
fn changed(dir: &Path, change: impl FnOnce(&mut AdapterFolder)) -> String {
    let mut folder = read_folder(&Path::new(&model("bert")).join("adapter")).unwrap();
    change(&mut folder);
    write_folder(dir, &folder.config.raw, &folder.tensors).unwrap();
    dir.to_str().unwrap().to_owned()
}

#[test]
fn an_adapter_is_compared_with_the_layers_of_a_model_configuration_alone() {
    let bert = model("bert");
    let adapter = format!("{bert}/adapter");
    let config = format!("{bert}/config.json");
    assert_eq!(verdict(&[&adapter, "--model", &bert])["valid"], true);
    assert_eq!(
        verdict(&[&adapter, "--model-config", &config])["valid"],
        true
    );
    let other = verdict(&[&adapter, "--model", &model("roberta")]);
    assert!(
        other["problems"].to_string().contains("target_modules"),
        "{other}"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |folder| {
        folder
            .tensors
            .retain(|key, _| !key.contains("layer.1.attention.self.key"));
        let shape = [4, 16];
        let misshaped = folder
            .tensors
            .keys()
            .find(|key| key.ends_with("layer.0.attention.self.value.lora_A.weight"));
        let misshaped = misshaped.unwrap().clone();
        folder.tensors.insert(
            misshaped,
            HostTensor::new("a", shape, vec![0.5; 64]).unwrap(),
        );
        for (name, shape) in [("lora_A", [4, 32]), ("lora_B", [32, 4])] {
            let key = format!("base_model.model.bert.encoder.layer.7.output.dense.{name}.weight");
            folder
                .tensors
                .insert(key, HostTensor::new(name, shape, vec![0.5; 128]).unwrap());
        }
    });
    let verdict = verdict(&[&path, "--model-config", &config]);
    let problems = list(&verdict, "problems").join("\n");
    for part in [
        "layer.1.attention.self.key`: the configuration selects this layer, the file has no tensors for it",
        "layer.0.attention.self.value`: the model's layer is 32 x 32, the adapter's 16 x 32",
        "layer.7.output.dense`: the model has no such layer",
    ] {
        assert!(problems.contains(part), "`{part}` in {problems}");
    }
}

#[test]
fn a_model_of_another_family_is_named_and_the_rest_is_checked_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    std::fs::write(&config, r#"{"model_type": "mamba9"}"#).unwrap();
    let adapter = format!("{}/adapter", model("bert"));
    let verdict = verdict(&[&adapter, "--model-config", config.to_str().unwrap()]);
    assert!(
        verdict["problems"]
            .to_string()
            .contains("model type `mamba9` is not supported"),
        "{verdict}"
    );
    assert_eq!(verdict["facts"]["sites"].as_array().unwrap().len(), 13);
}

#[test]
fn every_problem_of_a_folder_stands_in_one_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |folder| {
        let raw = &mut folder.config.raw;
        raw.insert("lora_bias".into(), true.into());
        raw.insert("init_lora_weights".into(), "pissa".into());
        raw.insert("target_modules".into(), "(".into());
        raw.insert("lora_flavour".into(), "plum".into());
        let mut tensors = folder.tensors.values_mut();
        tensors.next().unwrap().data[3] = f32::NAN;
        folder
            .tensors
            .remove("base_model.model.bert.encoder.layer.1.attention.self.query.lora_B.weight")
            .unwrap();
        let stray = HostTensor::new("x", [2], vec![1.0; 2]).unwrap();
        folder
            .tensors
            .insert("base_model.model.bert.stray".into(), stray);
    });
    let verdict = verdict(&[&path]);
    let problems = list(&verdict, "problems").join("\n");
    for part in [
        "`lora_bias` = true",
        "`init_lora_weights` = \"pissa\"",
        "`(`",
        "1 NaN",
        "`lora_B.weight` is missing",
        "bert.stray",
    ] {
        assert!(problems.contains(part), "`{part}` in {problems}");
    }
    assert!(
        list(&verdict, "notes")
            .iter()
            .any(|note| note.contains("lora_flavour")),
        "{verdict}"
    );
}

#[test]
fn a_method_that_nobody_here_knows_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |folder| {
        folder
            .config
            .raw
            .insert("peft_type".into(), "JUGGLING".into());
    });
    let verdict = verdict(&[&path]);
    assert!(
        verdict["problems"][0]
            .as_str()
            .unwrap()
            .contains("`JUGGLING`"),
        "{verdict}"
    );
}

#[test]
fn a_rank_for_which_no_memory_would_suffice_is_only_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |folder| {
        folder.config.raw.insert("r".into(), json!(60_000));
    });
    let verdict = verdict(&[&path]);
    assert!(
        verdict["problems"][0]
            .as_str()
            .unwrap()
            .contains("rank 60000"),
        "{verdict}"
    );
}

#[test]
fn folders_that_are_no_adapters_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("sst2");
    std::fs::create_dir(&inner).unwrap();
    changed(&inner, |_| {});
    let named = verdict(&[dir.path().to_str().unwrap()]);
    assert!(
        named["problems"][0]
            .as_str()
            .unwrap()
            .contains("its subfolders are adapters: sst2"),
        "{named}"
    );
    let absent = verdict(&["/nowhere/at/all"]);
    assert!(
        absent["problems"][0]
            .as_str()
            .unwrap()
            .contains("does not exist"),
        "{absent}"
    );
}
