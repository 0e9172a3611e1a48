//! A decoder as a classifier from end to end: its last token answers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::decoder::Place;
use binary::{json, merge, stdout, verdict};
use serde_json::Value;

fn train(place: &Place, name: &str, more: &[&str]) -> Value {
    let [model, train, valid, out] =
        ["model", "train.jsonl", "train.jsonl", name].map(|part| place.path(part));
    let fixed = [
        "train", "--model", &model, "--train", &train, "--valid", &valid,
    ];
    let how = [
        "--out",
        &out,
        "--lr",
        "1e-2",
        "--epochs",
        "12",
        "--batch-size",
        "8",
    ];
    json(&[&fixed[..], &how, more].concat())
}

#[test]
fn a_language_model_learns_to_classify_and_is_merged_into_a_classifier() {
    let place = Place::new();
    let report = train(
        &place,
        "a",
        &["--targets", "all-linear", "--max-length", "32"],
    );
    let loss = report["scores"]["loss"].as_f64().unwrap();
    assert!(
        loss < 0.2,
        "forty texts are learnt by heart, a coin has 0.69: {report}"
    );
    let [model, adapter, valid] = ["model", "a", "train.jsonl"].map(|part| place.path(part));
    let scores = |model: &str, more: &[&str]| {
        let fixed = [
            "eval",
            "--model",
            model,
            "--data",
            &valid,
            "--max-length",
            "32",
        ];
        json(&[&fixed[..], more].concat())
    };
    let scored = scores(&model, &["--adapter", &adapter]);
    assert!(
        (scored["loss"].as_f64().unwrap() - loss).abs() < 1e-5,
        "{scored}"
    );
    let config = std::fs::read_to_string(format!("{adapter}/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["task_type"], "SEQ_CLS");
    assert_eq!(config["modules_to_save"][0], "score");
    let verdict = verdict(&["--model", &model, &adapter]);
    assert_eq!(verdict["warnings"], serde_json::json!([]), "{verdict}");
    let merged = place.path("merged");
    merge(&model, &adapter, &merged, json);
    let of_merged = scores(&merged, &[]);
    assert!(
        (of_merged["loss"].as_f64().unwrap() - loss).abs() < 1e-4,
        "{of_merged}"
    );
    answers_have_names(&merged, &valid);
}

fn answers_have_names(model: &str, data: &str) {
    let answers = stdout(&[
        "predict",
        "--model",
        model,
        "--data",
        data,
        "--max-length",
        "32",
    ]);
    let first: Value = serde_json::from_str(answers.lines().next().unwrap()).unwrap();
    assert!(
        ["negative", "positive"].contains(&first["label"].as_str().unwrap()),
        "{first}"
    );
    assert_eq!(first["logits"].as_array().unwrap().len(), 2);
}

#[test]
fn the_head_alone_and_the_full_model_train_too() {
    let place = Place::new();
    for method in ["head", "full"] {
        let report = train(&place, method, &["--method", method, "--max-length", "32"]);
        let out = place.path(method);
        let valid = place.path("train.jsonl");
        let scored = json(&[
            "eval",
            "--model",
            &out,
            "--data",
            &valid,
            "--max-length",
            "32",
        ]);
        assert_eq!(scored["metrics"], report["scores"]["metrics"], "{method}");
    }
}
