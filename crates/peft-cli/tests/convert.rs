//! `peft convert --to peft`: every method becomes a folder that Hugging Face PEFT reads.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use binary::place::{Place, largest_difference};
use binary::{failure, json};
use serde_json::Value;

fn convert(place: &Place, name: &str, more: &[&str]) -> Value {
    let (from, out) = (place.path(name), place.path(&format!("{name}-peft")));
    let fixed = ["convert", &from, "--model", &place.model, "--to", "peft"];
    binary::json(&[&fixed, &["--out", &out, "--overwrite"][..], more].concat())
}

/// The largest difference of a logit between an adapter and its converted form.
fn distance(place: &Place, name: &str) -> f64 {
    let logits = |name: &str| place.logits("valid.jsonl", &["--adapter", &place.path(name)]);
    largest_difference(&logits(name), &logits(&format!("{name}-peft")))
}

fn config(place: &Place, name: &str) -> Value {
    let path = std::path::Path::new(&place.path(name)).join("adapter_config.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn svfit_becomes_a_lora_of_rank_k_exactly() {
    let place = Place::new();
    place.train(
        "svfit",
        &["--method", "svfit", "--targets", "query,down_proj,dense"],
    );
    let result = convert(&place, "svfit", &[]);
    assert_eq!(
        (&result["from"], &result["to"]),
        (&"svfit".into(), &"lora".into())
    );
    assert_eq!(result["largest_error"], 0.0);
    assert!(distance(&place, "svfit") < 1e-5);
    let config = config(&place, "svfit-peft");
    assert_eq!(config["peft_type"], "LORA");
    assert_eq!(config["r"], config["lora_alpha"]);
    let labels = std::path::Path::new(&place.path("svfit-peft")).join("labels.json");
    assert!(labels.exists());
}

#[test]
fn bora_is_cut_to_the_rank_asked_for_and_its_error_is_printed() {
    let place = Place::new();
    place.train("bora", &["--method", "bora", "--targets", "all-linear"]);
    let (from, out) = (place.path("bora"), place.path("none"));
    let fixed = ["convert", &from, "--model", &place.model, "--to", "peft"];
    let (code, error) = binary::failure(&[&fixed, &["--out", &out][..]].concat());
    assert_eq!(code, 2);
    assert!(
        error.contains("`bora` has no exact") && error.contains("--rank"),
        "{error}"
    );

    let coarse = convert(&place, "bora", &["--rank", "2"]);
    let coarse_distance = distance(&place, "bora");
    let full = convert(&place, "bora", &["--rank", "4096"]);
    let error = |result: &Value| result["largest_error"].as_f64().unwrap();
    assert!(error(&coarse) > 1e-3 && error(&coarse) < 1.0, "{coarse}");
    assert!(error(&full) < 1e-6, "{full}");
    assert!(distance(&place, "bora") < 1e-4);
    assert!(coarse_distance > 1e-4, "{coarse_distance}");
}

#[test]
fn methods_that_peft_knows_stay_what_they_are_unless_a_rank_is_asked_for() {
    let place = Place::new();
    place.train("dora", &["--method", "dora", "--targets", "query,value"]);
    let result = convert(&place, "dora", &[]);
    assert_eq!(
        (&result["to"], result["sites"].as_array().unwrap().len()),
        (&"dora".into(), 0)
    );
    assert_eq!(config(&place, "dora-peft")["use_dora"], true);
    assert_eq!(distance(&place, "dora"), 0.0);
    let result = convert(&place, "dora", &["--rank", "8"]);
    assert_eq!(result["to"], "lora");
    assert_eq!(config(&place, "dora-peft")["use_dora"], false);
}

#[test]
fn folders_of_mlx_lm_go_both_ways_without_a_model() {
    let place = Place::new();
    place.train("a", &["--rank", "2", "--set", "adapter.modules_to_save=[]"]);
    let [peft, mlx, back] = ["a", "mlx", "back"].map(|name| place.path(name));
    let there = json(&["convert", &peft, "--to", "mlx", "--out", &mlx]);
    assert_eq!((&there["rank"], &there["dora"]), (&2.into(), &false.into()));
    let again = json(&["convert", &mlx, "--to", "peft", "--out", &back]);
    assert_eq!(again["modules"], there["modules"]);
    let tensors = |folder: &str| std::fs::read(format!("{folder}/adapter_model.safetensors"));
    assert_eq!(tensors(&peft).unwrap(), tensors(&back).unwrap());
    let out = place.path("none");
    let (code, error) = failure(&["convert", &peft, "--to", "peft", "--out", &out]);
    assert!(code == 2 && error.contains("--model"), "{error}");
}

#[test]
fn a_vision_adapter_has_the_names_of_files_or_those_of_transformers_5() {
    let vit = binary::model("vit");
    let dir = tempfile::tempdir().unwrap();
    let out = |name: &str| dir.path().join(name).display().to_string();
    let (published, todays) = (
        format!("{vit}/adapter"),
        format!("{vit}/adapter-transformers-5"),
    );
    for (from, to, name) in [
        (&published, "peft-transformers5", "new"),
        (&todays, "peft", "old"),
    ] {
        json(&[
            "convert",
            from,
            "--model",
            &vit,
            "--to",
            to,
            "--out",
            &out(name),
        ]);
    }
    for (left, right) in [(&todays, "new"), (&published, "old")] {
        assert_eq!(json(&["diff", left, &out(right)])["equal"], true);
    }
    for adapter in [&published, &todays, &out("new")] {
        let verdict = binary::verdict(&[adapter, "--model", &vit]);
        assert_eq!(verdict["valid"], true, "{verdict}");
    }
}
