//! `peft validate --model` says valid exactly when merging and evaluating succeed: every golden folder with every golden decoder, right or
//! wrong, whole or damaged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::fs;
use std::path::{Path, PathBuf};

use binary::usable;
use serde_json::{Value, json};

const BASES: [&str; 6] = ["llama", "llama3", "mistral", "qwen2", "qwen3", "gpt2"];
/// Below every vocabulary here.
const WORDS: usize = 90;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../peft-models/tests/golden")
        .join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A base with a tokenizer of words: `w0 w1 ..`.
fn base(root: &Path, name: &str) -> String {
    let dir = root.join("bases").join(name);
    copy(&golden(name), &dir);
    usable::write_words(&dir, WORDS);
    dir.to_str().unwrap().to_owned()
}

/// Changes a folder's configuration.
fn configured(from: &Path, to: &Path, field: &str, value: Value) {
    copy(from, to);
    let path = to.join("adapter_config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config[field] = value;
    fs::write(path, config.to_string()).unwrap();
}

/// Every adapter folder, and damaged ones.
fn adapters(root: &Path) -> Vec<String> {
    let mut found: Vec<PathBuf> = BASES
        .iter()
        .map(|name| golden(name).join("adapter"))
        .collect();
    let contents = fs::read_dir(golden("contents")).unwrap();
    found.extend(contents.map(|entry| entry.unwrap().path()));
    let whole = golden("contents/llama-both");
    let damaged = root.join("damaged");
    for (name, field, value) in [
        ("huge-alpha", "lora_alpha", json!(1e308)),
        ("large-alpha", "lora_alpha", json!(1e30)),
        // Weights that 32 bits hold and f16 does not.
        ("alpha-beyond-f16", "lora_alpha", json!(1e6)),
        ("other-rank", "r", json!(5)),
        ("other-target", "target_modules", json!(["k_proj"])),
        ("no-target", "target_modules", json!(["nothing"])),
        ("saved-norm", "modules_to_save", json!(["norm"])),
        ("none-saved", "modules_to_save", json!(null)),
        ("other-method", "peft_type", json!("LOHA")),
    ] {
        configured(&whole, &damaged.join(name), field, value);
        found.push(damaged.join(name));
    }
    let cut = damaged.join("cut");
    copy(&whole, &cut);
    let tensors = cut.join("adapter_model.safetensors");
    let bytes = fs::read(&tensors).unwrap();
    fs::write(&tensors, &bytes[..bytes.len() / 2]).unwrap();
    found.push(cut);
    found.sort();
    found
        .into_iter()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

/// The first base in 16 bits.
fn halved(root: &Path, dtype: &str) -> String {
    let (model, out) = (base(root, BASES[0]), root.join("bases").join(dtype));
    let out = out.to_str().unwrap().to_owned();
    let adapter = golden(BASES[0]).join("adapter");
    let merge = [
        "merge",
        "--tolerance",
        "10",
        "--dtype",
        dtype,
        "--model",
        &model,
    ];
    let more = ["--adapter", adapter.to_str().unwrap(), "--out", &out];
    let merged = binary::peft(&[&merge[..], &more].concat());
    assert!(merged.status.success(), "{merged:?}");
    out
}

#[test]
fn valid_is_what_can_be_merged_and_evaluated() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let data = root.join("data.jsonl");
    fs::write(
        &data,
        "{\"text\": \"w5 w8 w13 w21 w34\"}\n{\"text\": \"w3 w1 w4\"}\n",
    )
    .unwrap();
    let data = data.to_str().unwrap();
    let adapters = adapters(root);
    let (mut valid, mut invalid) = (0, 0);
    let bases = BASES.map(|name| base(root, name));
    let halves = ["f16", "bf16"].map(|dtype| halved(root, dtype));
    for model in bases.iter().chain(&halves) {
        let folders: Vec<&str> = adapters.iter().map(String::as_str).collect();
        let (_, verdicts) = binary::verdicts(&[&["--model", model], &folders[..]].concat());
        assert_eq!(verdicts.len(), adapters.len());
        for (adapter, verdict) in adapters.iter().zip(&verdicts) {
            let out = root.join("out");
            let task = ("causal-lm", data);
            let (works, said) = usable::works(model, adapter, task, out.to_str().unwrap());
            assert_eq!(
                verdict["valid"], works,
                "{adapter} on {model}: {verdict:#}\n{said}"
            );
            if works { valid += 1 } else { invalid += 1 }
        }
    }
    assert!(valid >= 25 && invalid >= 60, "{valid} valid, {invalid} not");
}
