//! LoHa, LoKr, HiRA, MiSS and RandLoRA against Hugging Face PEFT: folders, forward, gradients, AdamW steps and merged weights.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use peft_core::file::{read_config, read_folder};
use peft_core::testing::case::Case;
use peft_core::{MethodEntry, folder};
use peft_lowrank::hira::HIRA;
use peft_lowrank::loha::LOHA;
use peft_lowrank::lokr::LOKR;
use peft_lowrank::miss::MISS;
use peft_lowrank::randlora::RANDLORA;
use serde_json::{Value, json};

const ENTRIES: [&MethodEntry; 5] = [&LOHA, &LOKR, &HIRA, &MISS, &RANDLORA];
const CASES: [(&str, &str); 15] = [
    ("loha", "loha"),
    ("loha", "loha-patterns"),
    ("lokr", "lokr"),
    ("lokr", "lokr-both"),
    ("lokr", "lokr-factor"),
    ("hira", "hira"),
    ("hira", "hira-layers"),
    ("miss", "miss"),
    ("miss", "miss-layers"),
    ("miss", "miss-mini"),
    ("randlora", "randlora"),
    ("randlora", "randlora-sizes"),
    ("randlora", "randlora-drawn"),
    ("randlora", "randlora-sparse"),
    ("randlora", "randlora-very-sparse"),
];

fn case(method: &str, name: &str) -> Case {
    let root = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", method];
    Case::read(&root.iter().collect::<PathBuf>(), name)
}

#[test]
fn each_equals_peft() {
    for (method, name) in CASES {
        case(method, name).check(&ENTRIES);
    }
}

/// Reads the case's folder and writes it again.
fn write(case: &Case, out: &Path) {
    let (base, names) = case.base(&Device::default());
    let loaded = folder::load(base, &names, "read", &ENTRIES, &case.folder).unwrap();
    folder::save(&loaded.model, &names, "read", &loaded.spec, out).unwrap();
}

#[test]
fn a_folder_of_peft_is_written_again_with_its_tensors() {
    for (method, name) in CASES {
        let case = case(method, name);
        let mut theirs = read_folder(&case.folder).unwrap().tensors;
        // PEFT repeats the bases beside every layer.
        theirs.retain(|key, _| {
            let is_basis = key.ends_with("randlora_A") || key.ends_with("randlora_B");
            !is_basis || !key.starts_with("base_model.model.")
        });
        // Where `tools/golden/relatives.py --check` finds it.
        let out = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("relatives")
            .join(name);
        write(&case, &out);
        let ours = read_folder(&out).unwrap().tensors;
        assert!(ours == theirs, "{name}");
    }
}

#[test]
fn a_configuration_of_peft_is_written_again_field_by_field() {
    // What names the program that wrote a folder, and what it saw of the model's class.
    const OF_THE_WRITER: [&str; 2] = ["auto_mapping", "peft_version"];
    for (method, name) in CASES {
        let case = case(method, name);
        let theirs = read_config(&case.folder).unwrap().raw;
        let out = tempfile::tempdir().unwrap();
        write(&case, out.path());
        let ours = read_config(out.path()).unwrap().raw;
        for (field, value) in &theirs {
            if OF_THE_WRITER.contains(&field.as_str()) {
                continue;
            }
            let same = match (ours.get(field), value) {
                // Newer than the oldest PEFT that reads our folders, and left out where it is not used.
                (None, value) => match field.as_str() {
                    "exclude_modules" => value.is_null(),
                    // PEFT writes patterns of HiRA and does not read them.
                    "rank_pattern" => name.starts_with("hira") && *value == json!({}),
                    _ => false,
                },
                (Some(Value::Array(ours)), Value::Array(theirs)) => set(ours) == set(theirs),
                (Some(Value::Number(ours)), Value::Number(theirs)) => {
                    ours.as_f64() == theirs.as_f64()
                }
                (Some(ours), theirs) => ours == theirs,
            };
            assert!(
                same,
                "{name}: `{field}` = {value}, ours {:?}",
                ours.get(field)
            );
        }
        let unknown: Vec<&String> = ours
            .keys()
            .filter(|key| !theirs.contains_key(*key))
            .collect();
        assert_eq!(unknown, Vec::<&String>::new(), "{name}");
    }
}

fn set(values: &[Value]) -> BTreeSet<String> {
    values.iter().map(ToString::to_string).collect()
}
