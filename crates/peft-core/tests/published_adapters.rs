//! Published adapter folders and configs from an optional data folder.

use std::fs;
use std::path::{Path, PathBuf};

use peft_core::file::{
    CONFIG_FILE, FileError, PICKLE_FILE, PeftConfig, TENSOR_FILE, check_finite, index_keys, key,
    read_folder, read_tensors,
};
use peft_core::folder;
use peft_core::lora::{LORA, RSLORA};
use peft_core::testing::outside::data;

const TENSORS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is readable")
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    entries.sort();
    entries
}

#[test]
fn published_configs_parse_and_other_methods_are_refused_as_lora() {
    let Some(folder) = data("adapter_configs") else {
        return;
    };
    let files: Vec<PathBuf> = entries(&folder)
        .iter()
        .flat_map(|part| entries(part))
        .collect();
    assert_eq!(files.len(), 81);
    let mut plain = 0;
    for file in files {
        let config = PeftConfig::parse(&fs::read(&file).unwrap(), &file)
            .unwrap_or_else(|error| panic!("{error}"));
        let unsupported = config.unsupported_for_lora();
        assert_eq!(
            config.peft_type != "LORA",
            unsupported
                .iter()
                .any(|feature| feature.field == "peft_type")
        );
        plain += usize::from(unsupported.is_empty());
        if let Err(error) = folder::spec_of(&[&LORA, &RSLORA], &config) {
            let message = error.to_string();
            let by_type = message.contains(&format!("`{}`", config.peft_type));
            let fields = config.raw.keys().map(|field| format!("`{field}`"));
            let by_field = fields.into_iter().any(|field| message.contains(&field))
                || message.contains("use_dora = true");
            assert!(by_type || by_field, "{}: {message}", file.display());
        }
        if config.peft_type == "LORA" {
            if let Some(rules) = config.target_rules() {
                rules.check().unwrap();
            }
            let text = peft_core::file::to_json(&config.to_map(&serde_json::Map::new()));
            let again = PeftConfig::parse(text.as_bytes(), &file).unwrap();
            assert_eq!(
                (again.r, &again.target, &again.rank_pattern),
                (config.r, &config.target, &config.rank_pattern)
            );
        }
    }
    assert!(plain >= 30, "only {plain} configs are plain LoRA");
}

#[test]
fn published_folders_parse_with_every_key_and_write_back_equal() {
    let Some(folder) = data("adapters") else {
        return;
    };
    let mut read = 0;
    for folder in entries(&folder)
        .iter()
        .filter(|path| path.join(CONFIG_FILE).exists())
    {
        if folder.ends_with("negative-01") {
            continue;
        }
        let adapter = read_folder(folder).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            adapter.config.unsupported_for_lora(),
            [],
            "{}",
            folder.display()
        );
        check_finite(&adapter.tensors).unwrap();
        let keys = index_keys(adapter.tensors.keys().map(String::as_str), &TENSORS).unwrap();
        assert_eq!(keys.len(), adapter.tensors.len());
        for (parsed, raw) in keys {
            assert!(!parsed.module.starts_with("base_model"), "{raw}");
            let lora = TENSORS.contains(&parsed.tensor.as_str());
            assert!(
                lora || ["weight", "bias"].contains(&parsed.tensor.as_str()),
                "{raw}"
            );
            assert!(raw.ends_with(&key(&parsed.module, &parsed.tensor)), "{raw}");
            if parsed.tensor == "lora_A.weight" {
                assert_eq!(adapter.tensors[&raw].shape[0], adapter.config.r, "{raw}");
            }
        }
        let target = tempfile::tempdir().unwrap();
        peft_core::file::write_folder(target.path(), &adapter.config.raw, &adapter.tensors)
            .unwrap();
        assert_eq!(read_folder(target.path()).unwrap().tensors, adapter.tensors);
        read += 1;
    }
    assert_eq!(read, 18);
}

#[test]
fn published_broken_files_are_refused_by_kind() {
    let Some(folder) = data("adapters") else {
        return;
    };
    let error = |name: &str| read_tensors(&folder.join(name).join(TENSOR_FILE)).unwrap_err();
    assert!(matches!(
        error("broken-lfs-pointer"),
        FileError::LfsPointer {
            size: Some(83_946_192),
            ..
        }
    ));
    assert!(matches!(
        error("broken-mock-22-bytes"),
        FileError::NotSafetensors { size: 22, .. }
    ));
    let message = read_folder(&folder.join("negative-01"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("adapter_model.bin (1310720 bytes)") && message.contains("interrupted"),
        "{message}"
    );
}

#[test]
fn the_pickled_and_the_safetensors_twin_hold_the_same_tensors() {
    let Some(folder) = data("adapters") else {
        return;
    };
    let read = |name: &str| read_folder(&folder.join(name)).unwrap();
    let (pickled, plain) = (read("bert-base-uncased-01"), read("bert-base-uncased-02"));
    assert!(pickled.tensor_file.ends_with(PICKLE_FILE) && plain.tensor_file.ends_with(TENSOR_FILE));
    assert_eq!(pickled.tensors.len(), 50);
    assert_eq!(pickled.tensors, plain.tensors);
}

#[test]
fn a_loralib_checkpoint_is_named_and_loads_with_the_config_that_the_message_gives() {
    let Some(folder) = data("adapters") else {
        return;
    };
    let folder = folder.join("roberta-loralib-mnli");
    let error = read_folder(&folder).unwrap_err();
    let FileError::Loralib(found) = &error else {
        panic!("{error}");
    };
    assert_eq!(found.layers, 24);
    assert!(
        error.to_string().contains("rename it to adapter_model.bin"),
        "{error}"
    );
    let target = tempfile::tempdir().unwrap();
    fs::write(target.path().join(CONFIG_FILE), &found.example).unwrap();
    fs::copy(&found.path, target.path().join(PICKLE_FILE)).unwrap();
    let adapter = read_folder(target.path()).unwrap();
    assert_eq!(adapter.config.unsupported_for_lora(), []);
    assert_eq!(
        (adapter.config.r, adapter.config.modules_to_save.as_slice()),
        (8, ["classifier".to_owned()].as_slice())
    );
    let keys = index_keys(adapter.tensors.keys().map(String::as_str), &TENSORS).unwrap();
    let factors = keys
        .keys()
        .filter(|key| TENSORS.contains(&key.tensor.as_str()));
    assert_eq!((factors.count(), keys.len()), (48, 52));
}
