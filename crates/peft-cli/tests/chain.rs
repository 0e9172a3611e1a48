//! Chains of merges and restarts from end to end: one LoRA of the rank of all rounds, which every verb reads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::place::{Place, largest_difference};
use binary::{failure, json, merge, stdout};
use serde_json::Value;

const CHAIN: [&str; 8] = [
    "--rank",
    "4",
    "--epochs",
    "3",
    "--set",
    "procedures.chain.every=10",
    "--set",
    "procedures.chain.warmup=3",
];

#[test]
fn a_chain_ends_as_one_lora_of_the_rank_of_all_rounds() {
    let place = Place::new();
    let batch = [
        "--batch-size",
        "8",
        "--lr",
        "5e-3",
        "--targets",
        "all-linear",
    ];
    let report = place.judged("run", &[&CHAIN[..], &batch].concat(), json);
    assert_eq!(report["steps"], 24);
    let run = place.path("run");
    let config = std::fs::read_to_string(place.path("run/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(
        (&config["r"], &config["lora_alpha"]),
        (&12.into(), &24.into()),
        "{config}"
    );
    let rows = place.logits("valid.jsonl", &["--adapter", &run]);
    merge(&place.model, &run, &place.path("merged"), stdout);
    let merged = place.path("merged");
    let data = place.path("valid.jsonl");
    let scored = |more: &[&str]| {
        let eval = json(&[&["eval", "--data", &data][..], more].concat());
        eval["loss"].as_f64().unwrap()
    };
    let whole = scored(&["--model", &merged]);
    let adapter = scored(&["--model", &place.model, "--adapter", &run]);
    assert!((whole - adapter).abs() < 1e-5 && rows.len() == 24);
    assert!((report["scores"]["loss"].as_f64().unwrap() - adapter).abs() < 1e-5);
    let plain = place.judged("plain", &[&CHAIN[..4], &batch].concat(), json);
    assert!(plain["scores"]["loss"] != report["scores"]["loss"]);
    assert!(largest_difference(&rows, &place.logits("valid.jsonl", &["--adapter", &run])) == 0.0);
}

#[test]
fn weights_of_an_earlier_evaluation_are_those_that_were_scored() {
    let place = Place::new();
    let more = [
        "--batch-size",
        "8",
        // So large that the first evaluation is the best.
        "--lr",
        "0.5",
        "--select",
        "best",
        "--set",
        "train.eval_every=2",
        "--set",
        "procedures.chain.every=4",
        "--set",
        "procedures.chain.warmup=1",
    ];
    let report = place.judged("run", &[&CHAIN[..4], &more].concat(), json);
    let selected = report["selected_step"].as_u64().unwrap();
    assert!(selected < report["steps"].as_u64().unwrap(), "{report}");
    let (run, data) = (place.path("run"), place.path("valid.jsonl"));
    let eval = [
        "eval",
        "--model",
        &place.model,
        "--adapter",
        &run,
        "--data",
        &data,
    ];
    let (found, said) = (json(&eval), &report["scores"]);
    let loss = |scores: &Value| scores["loss"].as_f64().unwrap();
    assert!(
        (loss(&found) / loss(said) - 1.0).abs() < 1e-4,
        "{found} {said}"
    );
}

#[test]
fn settings_that_make_no_chain_are_refused_before_anything_is_written() {
    let place = Place::new();
    let every = |steps: &str| format!("procedures.chain.every={steps}");
    let (long, short) = (every("1000"), every("5"));
    let cases: [(&[&str], &str); 5] = [
        (&["--set", &long], "fewer than the"),
        (&["--set", "procedures.chain.evry=5"], "evry"),
        (
            &["--set", "procedures.chane.every=5"],
            "known are riemannian, chain",
        ),
        (&["--method", "dora", "--set", &short], "found dora"),
        (&["--method", "full", "--set", &short], "found no adapter"),
    ];
    for (more, part) in cases {
        let how = ["--batch-size", "8", "--epochs", "2"];
        let warmup = match part {
            "known are riemannian, chain" => &[][..],
            _ => &["--set", "procedures.chain.warmup=1"],
        };
        let (code, error) = place.training("refused", &[&how[..], more, warmup].concat(), failure);
        assert!(error.contains(part), "{part}: {error}");
        assert_eq!(code, 2, "{part}: wrong usage");
        assert!(!std::path::Path::new(&place.path("refused")).exists());
    }
}
