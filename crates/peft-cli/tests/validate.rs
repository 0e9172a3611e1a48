//! `peft validate` on published folders: each gets the right verdict, with its facts or its reason.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::{model, peft, verdict, verdicts};
use peft_core::testing::outside::data;
use serde_json::Value;

fn list<'a>(verdict: &'a Value, kind: &str) -> Vec<&'a str> {
    let items = verdict[kind].as_array().unwrap();
    items.iter().map(|item| item.as_str().unwrap()).collect()
}

/// Modules trained beside the adapter.
const BERT: &[&str] = &["classifier.bias", "classifier.weight"];
const DISTILBERT: &[&str] = &[
    "classifier.bias",
    "classifier.weight",
    "pre_classifier.bias",
    "pre_classifier.weight",
];
const GPT2: &[&str] = &["score.weight"];
const NONE: &[&str] = &[];

/// Folder, rank, alpha, number of layers, type, other tensors.
type Facts = (
    &'static str,
    u64,
    f64,
    usize,
    &'static str,
    &'static [&'static str],
);

const GOOD: [Facts; 18] = [
    ("bert-base-uncased-01", 8, 8.0, 24, "F32", BERT),
    ("bert-base-uncased-02", 8, 8.0, 24, "F32", BERT),
    ("distilbert-base-uncased-01", 8, 16.0, 12, "F32", DISTILBERT),
    ("distilbert-base-uncased-02", 8, 16.0, 12, "F32", DISTILBERT),
    ("distilbert-base-uncased-03", 8, 32.0, 12, "F32", DISTILBERT),
    ("gemma-3-270m-it-01", 4, 4.0, 36, "F32", NONE),
    ("gpt2-01", 8, 10.0, 12, "F32", GPT2),
    ("gpt2-02", 8, 8.0, 12, "F32", GPT2),
    ("gpt2-03", 8, 32.0, 12, "F32", GPT2),
    ("gpt2-04", 8, 32.0, 36, "F32", GPT2),
    ("gpt2-05", 8, 8.0, 12, "F32", NONE),
    ("gpt2-06", 8, 32.0, 12, "F32", GPT2),
    ("gpt2-07", 8, 8.0, 12, "F32", GPT2),
    ("gpt2-08", 8, 32.0, 12, "F32", NONE),
    ("gpt2-09", 4, 16.0, 12, "F32", GPT2),
    ("opt-125m-01", 16, 32.0, 24, "BF16", NONE),
    ("tinyllama-1.1b-chat-v1.0-01", 4, 8.0, 44, "F32", NONE),
    ("unknown-base-01", 8, 32.0, 12, "F32", NONE),
];

#[test]
fn published_folders_are_valid_with_their_facts() {
    let Some(adapters) = data("adapters") else {
        return;
    };
    let mut whole = 0;
    for (name, rank, alpha, layers, dtype, head) in GOOD {
        let path = adapters.join(name);
        let verdict = verdict(&[path.to_str().unwrap()]);
        assert_eq!(list(&verdict, "problems"), [""; 0], "{name}");
        let facts = &verdict["facts"];
        assert_eq!(facts["method"], "lora", "{name}");
        assert_eq!(
            (facts["rank"].as_u64(), facts["alpha"].as_f64()),
            (Some(rank), Some(alpha)),
            "{name}"
        );
        let sites = facts["sites"].as_array().unwrap();
        assert_eq!(sites.len(), layers, "{name}");
        assert_eq!(
            facts["dtypes"]
                .as_object()
                .unwrap()
                .keys()
                .collect::<Vec<_>>(),
            [dtype],
            "{name}"
        );
        let others = facts["other_tensors"].as_array().unwrap();
        let others: Vec<&str> = others
            .iter()
            .map(|tensor| tensor["name"].as_str().unwrap())
            .collect();
        assert_eq!(others, head, "{name}");
        for site in sites {
            check_site(site, name, rank);
        }
        whole += usize::from(list(&verdict, "warnings").is_empty());
        let doubled = list(&verdict, "notes")
            .iter()
            .any(|note| note.contains("is doubled in 24 of 24 keys"));
        assert_eq!(doubled, name == "unknown-base-01", "{name}: {verdict}");
        let pickled = list(&verdict, "notes")
            .iter()
            .any(|note| note.contains("pickled"));
        assert_eq!(pickled, path.join("adapter_model.bin").exists(), "{name}");
    }
    assert_eq!(whole, 17);
}

/// Rank and effective ranks of a layer agree with each other; only one published adapter is untrained.
fn check_site(site: &Value, name: &str, rank: u64) {
    let pair = &site["pairs"][0];
    assert_eq!(site["rank"].as_u64(), Some(rank), "{name}: {site}");
    let (effective, stable) = (
        pair["effective_rank"].as_f64().unwrap(),
        pair["stable_rank"].as_f64().unwrap(),
    );
    let zero = pair["b_is_zero"] == true;
    assert!(
        zero || (1.0 - 1e-9 <= stable && stable <= effective + 1e-9),
        "{name}: {site}"
    );
    assert!(effective <= rank as f64 + 1e-9, "{name}: {site}");
    assert_eq!(zero, name == "gpt2-09", "{name}: {site}");
}

#[test]
fn an_adapter_whose_b_is_zero_is_called_what_it_is() {
    let Some(adapters) = data("adapters") else {
        return;
    };
    let untrained = verdict(&[adapters.join("gpt2-09").to_str().unwrap()]);
    let warnings = list(&untrained, "warnings");
    assert!(
        warnings[0].contains("all zero at 12 of 12 layers: the adapter changes nothing"),
        "{warnings:?}"
    );
}

#[test]
fn published_broken_folders_are_refused_by_name_and_reason_in_one_report() {
    let Some(adapters) = data("adapters") else {
        return;
    };
    let cases: [(&str, &[&str]); 4] = [
        (
            "negative-01",
            &[
                "adapter_model.bin (1310720 bytes) is not a readable PyTorch file",
                "interrupted",
            ],
        ),
        (
            "broken-lfs-pointer",
            &[
                "adapter_config.json does not exist",
                "is a Git LFS pointer to 83946192 bytes",
            ],
        ),
        (
            "broken-mock-22-bytes",
            &[
                "adapter_config.json does not exist",
                "(22 bytes, starting \"mock adapter art\")",
            ],
        ),
        (
            "roberta-loralib-mnli",
            &[
                "roberta_base_lora_mnli.bin is a loralib checkpoint (24 adapted layers",
                "\"r\":8",
            ],
        ),
    ];
    let paths: Vec<String> = cases
        .iter()
        .map(|(name, _)| adapters.join(name).to_str().unwrap().to_owned())
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let (code, verdicts) = verdicts(&paths);
    assert_eq!((code, verdicts.len()), (1, 4));
    for ((name, parts), verdict) in cases.iter().zip(&verdicts) {
        assert_eq!(verdict["valid"], false);
        let problems = verdict["problems"].to_string().replace("\\\"", "\"");
        for part in *parts {
            assert!(problems.contains(part), "{name}: `{part}` in {problems}");
        }
    }
    let output = peft(&[["validate"].as_slice(), &paths].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.matches("NOT VALID").count() == 4, "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("4 of 4 adapter folders not valid"));
}

#[test]
fn every_published_model_configuration_is_compared_with_or_named_by_its_type() {
    let Some(configs) = data("model_configs") else {
        return;
    };
    let adapter = format!("{}/adapter", model("bert"));
    let known = [
        "bert",
        "distilbert",
        "gemma3",
        "gpt2",
        "llama",
        "mistral",
        "phi3",
        "qwen2",
        "qwen3",
    ];
    let (mut supported, mut quantised, mut refused) = (0, 0, 0);
    for entry in std::fs::read_dir(&configs).unwrap() {
        let path = entry.unwrap().path().join("config.json");
        let config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let model_type = config["model_type"].as_str().unwrap();
        let verdict = verdict(&[&adapter, "--model-config", path.to_str().unwrap()]);
        let problems = list(&verdict, "problems");
        let says = |text: &str| problems.iter().any(|problem| problem.contains(text));
        if !known.contains(&model_type) {
            assert!(
                says(&format!("model type `{model_type}` is not supported")),
                "{verdict}"
            );
            refused += 1;
        } else if config.get("quantization_config").is_some() {
            assert!(says("`quantization_config`"), "{verdict}");
            quantised += 1;
        } else {
            // The tiny adapter fits none of them.
            assert!(!list(&verdict, "problems").is_empty(), "{verdict}");
            supported += 1;
        }
    }
    assert_eq!((supported, quantised, refused), (8, 2, 7));
}

#[test]
fn every_folder_that_python_wrote_for_the_tests_is_valid() {
    let folders =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-core/tests/golden/folders");
    let mut valid = 0;
    for entry in std::fs::read_dir(&folders).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let verdict = verdict(&[path.to_str().unwrap()]);
        if path.ends_with("named") {
            let problem = list(&verdict, "problems")[0];
            assert!(problem.contains("its subfolders are adapters"), "{problem}");
            continue;
        }
        assert_eq!(list(&verdict, "problems"), [""; 0], "{}", path.display());
        let sites = verdict["facts"]["sites"].as_array().unwrap();
        let pairs = sites.iter().map(|site| site["pairs"].as_array().unwrap());
        assert!(pairs.clone().count() > 0 && pairs.clone().all(|pairs| pairs.len() == 1));
        valid += 1;
    }
    assert!(valid >= 15, "{valid}");
}

#[test]
fn folders_of_every_method_are_valid() {
    let golden =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-decompose/tests/golden");
    let folders = |dir: &std::path::Path| {
        let entries = std::fs::read_dir(dir).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect::<Vec<_>>()
    };
    let mut methods = std::collections::BTreeSet::new();
    for path in folders(&golden).iter().flat_map(|method| folders(method)) {
        let verdict = verdict(&[path.to_str().unwrap()]);
        assert_eq!(list(&verdict, "problems"), [""; 0], "{}", path.display());
        methods.insert(verdict["facts"]["method"].as_str().unwrap().to_owned());
    }
    for method in ["dora", "bora", "svfit", "pissa", "olora"] {
        assert!(methods.contains(method), "{method} is not in {methods:?}");
    }
}
