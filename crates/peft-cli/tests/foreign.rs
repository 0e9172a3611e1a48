//! Folders that are something else than they are taken for, and what is said of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::collections::BTreeMap;
use std::path::Path;

use binary::decoder::{Place, write_fresh};
use binary::{failed, failure, json, merge, peft};
use peft_core::file::{HostTensor, read_tensors, write_tensors};

/// A folder of mlx-lm with one adapted module; `files` says which of its files there are.
fn mlx(root: &Path, name: &str, config: Option<&str>, tensors: Option<&str>) -> String {
    let dir = root.join(name);
    std::fs::create_dir(&dir).unwrap();
    if let Some(config) = config {
        std::fs::write(dir.join("adapter_config.json"), config).unwrap();
    }
    if let Some(file) = tensors {
        let tensor = |shape: [usize; 2], first: f32| {
            let data = (0..shape[0] * shape[1])
                .map(|at| first + at as f32)
                .collect();
            HostTensor::new("x", shape, data).unwrap()
        };
        let mut all = BTreeMap::from([
            ("layers.0.q.lora_a".to_owned(), tensor([3, 2], 0.5)),
            ("layers.0.q.lora_b".to_owned(), tensor([2, 4], -1.0)),
        ]);
        if config.is_some_and(|config| config.contains("dora")) {
            let m = HostTensor::new("m", [4], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
            all.insert("layers.0.q.m".to_owned(), m);
        }
        write_tensors(&dir.join(file), &all).unwrap();
    }
    dir.to_str().unwrap().to_owned()
}

const OLD: &str = r#"{"lora_layers": 1, "lora_parameters": {"rank": 2, "alpha": 8.0, "scale": 2.0, "dropout": 0.0}}"#;
const DORA: &str =
    r#"{"lora_layers": 1, "use_dora": true, "lora_parameters": {"rank": 2, "scale": 2.0}}"#;

#[test]
fn folders_of_mlx_lm_are_read_or_named_with_the_way_out() {
    let root = tempfile::tempdir().unwrap();
    let out = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let nowhere = out("nowhere");
    let good = mlx(root.path(), "good", Some(OLD), Some("adapters.safetensors"));
    let converted = json(&["convert", &good, "--to", "peft", "--out", &out("lora")]);
    assert_eq!(
        (&converted["scale"], &converted["dora"]),
        (&2.0.into(), &false.into())
    );
    let note = converted["notes"][0].as_str().unwrap();
    assert!(
        note.contains("alpha 8") && note.contains("the scale is 8"),
        "{note}"
    );
    let dora = mlx(
        root.path(),
        "dora",
        Some(DORA),
        Some("adapters.safetensors"),
    );
    let converted = json(&["convert", &dora, "--to", "peft", "--out", &out("dora-peft")]);
    assert_eq!(converted["dora"], true);
    let tensors = read_tensors(&root.path().join("dora-peft/adapter_model.safetensors")).unwrap();
    let m = &tensors["base_model.model.layers.0.q.lora_magnitude_vector"];
    assert_eq!(m.data, [1.0, 2.0, 3.0, 4.0]);

    let numbered = mlx(
        root.path(),
        "numbered",
        Some(OLD),
        Some("0000600_adapters.safetensors"),
    );
    let archive = mlx(root.path(), "archive", None, None);
    std::fs::write(root.path().join("archive/adapters.npz"), "PK").unwrap();
    for (folder, expected) in [
        (&numbered, "0000600_adapters.safetensors"),
        (&archive, "adapters.npz"),
        (&good, "is an adapter of mlx-lm: `peft convert"),
    ] {
        let calls = [
            vec!["inspect", folder],
            vec!["diff", folder, folder],
            vec!["convert", folder, "--to", "peft", "--out", &nowhere],
        ];
        let calls = calls.iter();
        let calls = calls.filter(|call| call[0] != "convert" || *folder != good);
        for call in calls {
            let (_, error) = failure(call);
            assert!(
                error.contains(expected) && error.contains("peft convert"),
                "{call:?}: {error}"
            );
        }
        let (code, verdicts) = binary::verdicts(&[folder]);
        assert_eq!(code, 1);
        let problems = verdicts[0]["problems"].to_string();
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn a_folder_of_mlx_lm_becomes_a_gguf_file_by_way_of_peft_alone() {
    let root = tempfile::tempdir().unwrap();
    let good = mlx(root.path(), "good", Some(OLD), Some("adapters.safetensors"));
    let out = root.path().join("a.gguf");
    let convert = ["convert", &good, "--to", "gguf", "--out"];
    let (code, error) = failure(&[&convert[..], &[out.to_str().unwrap()]].concat());
    assert!(
        code == 2 && error.contains("is a folder of mlx-lm") && error.contains("--to peft first"),
        "{code}: {error}"
    );
    assert!(!out.exists());
}

#[test]
fn an_adapter_that_is_given_as_the_model_is_recognised_by_every_verb() {
    let place = Place::new();
    let (adapter, model, valid) = (
        place.small("a"),
        place.path("model"),
        place.path("valid.jsonl"),
    );
    // Of this test alone: what a command makes there for a moment is not to be seen by others.
    let (nowhere, plan) = (place.path("nowhere"), place.path("nowhere.json"));
    let expected =
        format!("is an adapter of {model}, not a model: give --model {model} --adapter {adapter}");
    let calls = [
        vec!["generate", "--prompt", "a"],
        vec!["eval", "--task", "causal-lm", "--data", &valid],
        vec!["predict", "--data", &valid],
        vec!["merge", "--adapter", &adapter, "--out", &nowhere],
        vec!["targets"],
        vec![
            "train",
            "--task",
            "causal-lm",
            "--train",
            &valid,
            "--out",
            &nowhere,
        ],
        vec!["validate", &adapter],
        vec!["inspect", &adapter],
        vec!["convert", &adapter, "--to", "peft", "--out", &nowhere],
        vec![
            "prune",
            "--adapter",
            &adapter,
            "--data",
            &valid,
            "--out",
            &plan,
        ],
    ];
    for call in &calls {
        let (_, error) = failure(&[&call[..], &["--model", &adapter]].concat());
        assert!(error.contains(&expected), "{call:?}: {error}");
    }
    let (_, error) = failure(&[
        "extract", "--base", &model, "--tuned", &adapter, "--out", &nowhere,
    ]);
    assert!(error.contains("this is an adapter"), "{error}");
}

#[test]
fn a_missing_file_is_said_once_and_a_misfit_once_for_all_layers() {
    let place = Place::new();
    let (_, error) = failure(&[
        "generate",
        "--model",
        &place.path("nothing"),
        "--prompt",
        "a",
    ]);
    assert_eq!(error.matches("No such file").count(), 1, "{error}");
    place.train(
        "a",
        "lora",
        &["--targets", "all-linear", "--rank", "2", "--max-steps", "1"],
    );
    const OTHER: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 270, "hidden_size": 16,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
        "max_position_embeddings": 64, "initializer_range": 0.2}"#;
    let llama = place.path("other");
    write_fresh(Path::new(&llama), OTHER);
    let (adapter, out) = (place.path("a"), place.path("m"));
    let (_, error) = failed(&merge(&llama, &adapter, &out, peft));
    assert!(
        error.contains("it was made for a model of another size: 32 where this one has"),
        "{error}"
    );
    assert!(error.lines().count() < 25, "{error}");
}

#[test]
fn a_model_of_no_family_is_not_valid_and_every_family_is_named() {
    let place = Place::new();
    let adapter = place.small("a");
    let other = place.path("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(
        Path::new(&other).join("config.json"),
        r#"{"model_type": "opt"}"#,
    )
    .unwrap();
    let verdict = binary::verdict(&[&adapter, "--model", &other]);
    assert_eq!(verdict["valid"], false);
    let problem = verdict["problems"].to_string();
    for family in ["`opt`", "bert", "llama", "gpt2", "vit"] {
        assert!(problem.contains(family), "{problem}");
    }
}
