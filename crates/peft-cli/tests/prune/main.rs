//! LoRA-drop from end to end: measure, plan, train by the plan, resume, convert.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../binary/mod.rs"]
mod binary;
mod procedure;

use std::path::Path;

use binary::place::{LORA_DROP, Place};
use binary::{failure, json, owned, stdout, words};
use serde_json::Value;

fn train(place: &Place, name: &str, more: &[&str]) -> Value {
    let how = ["--lr", "5e-3", "--batch-size", "16", "--epochs", "2"];
    place.judged(name, &[&how[..], more].concat(), json)
}

fn prune(place: &Place, adapter: &str, more: &[&str]) -> Vec<String> {
    let (adapter, data) = (place.path(adapter), place.path("train.jsonl"));
    let fixed = [
        "prune",
        "--model",
        &place.model,
        "--adapter",
        &adapter,
        "--data",
        &data,
    ];
    owned(&[&fixed[..], more].concat())
}

#[test]
fn a_plan_is_made_followed_resumed_and_converted() {
    let place = Place::new();
    train(&place, "warm", &["--targets", "all-linear", "--rank", "4"]);
    let plan = place.path("plan.json");
    let args = prune(
        &place,
        "warm",
        &["--keep", "50%", "--sample", "0.5", "--out", &plan],
    );
    let result = json(&words(&args));
    let made = &result["plans"][0];
    let (before, after) = (&made["parameters_before"], &made["parameters_after"]);
    assert!(
        2 * after.as_u64().unwrap() <= before.as_u64().unwrap(),
        "{made}"
    );
    assert!(result["examples"].as_u64().unwrap() > 10);
    for end in ["json", "svg", "png"] {
        assert!(Path::new(&plan).with_extension(end).exists(), "{end}");
    }
    let report = train(&place, "dropped", &["--plan", &plan]);
    assert_eq!(report["method"], "lora-drop");
    let full = train(&place, "full", &["--targets", "all-linear", "--rank", "4"]);
    let trainable = |report: &Value| report["parameters"]["trainable"].as_u64().unwrap();
    let saved = before.as_u64().unwrap() - after.as_u64().unwrap();
    assert_eq!(
        trainable(&full) - trainable(&report),
        saved,
        "heads are alike"
    );

    // A plan in which nothing shares is followed too, rather than made anew.
    let all = place.path("all.json");
    json(&words(&prune(
        &place,
        "warm",
        &["--threshold", "1", "--out", &all],
    )));
    let followed = train(&place, "followed", &["--plan", &all]);
    assert_eq!(trainable(&followed), trainable(&full));
    assert!(!Path::new(&place.path("followed/warm")).exists());
    resumed(&place, &plan);
    converted(&place);
}

/// Stopped and gone on with, a run ends with the same bytes.
fn resumed(place: &Place, plan: &str) {
    let half = ["--plan", plan, "--set", "train.save_every=1"];
    let whole = train(place, "whole", &half);
    let steps = whole["steps"].as_u64().unwrap();
    let folder = place.path("whole");
    let bytes = |name: &str| std::fs::read(format!("{folder}/{name}")).unwrap();
    let last = bytes("adapter_model.safetensors");
    std::fs::remove_dir_all(format!("{folder}/checkpoint-{steps}")).unwrap();
    std::fs::remove_file(format!("{folder}/adapter_model.safetensors")).unwrap();
    train(place, "whole", &[&half[..], &["--resume"]].concat());
    assert_eq!(bytes("adapter_model.safetensors"), last);
}

/// As a plain LoRA it says the same.
fn converted(place: &Place) {
    let (adapter, plain) = (place.path("dropped"), place.path("plain"));
    json(&[
        "convert",
        &adapter,
        "--model",
        &place.model,
        "--to",
        "peft",
        "--out",
        &plain,
    ]);
    let config = std::fs::read_to_string(format!("{plain}/adapter_config.json")).unwrap();
    assert!(config.contains("\"LORA\""), "{config}");
    let valid = place.path("valid.jsonl");
    let logits = |adapter: &str| -> Vec<f64> {
        let args = [
            "predict",
            "--model",
            &place.model,
            "--adapter",
            adapter,
            "--data",
            &valid,
        ];
        let lines = stdout(&args);
        let rows = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.flat_map(|row| row["logits"].as_array().unwrap().clone())
            .map(|value| value.as_f64().unwrap())
            .collect()
    };
    for (a, b) in logits(&adapter).iter().zip(logits(&plain)) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}

#[test]
fn the_method_by_itself_trains_measures_plans_and_trains_again() {
    let place = Place::new();
    let all = [&LORA_DROP[..], &["--set", "train.save_every=1"]].concat();
    let report = train(&place, "run", &all);
    let folder = place.path("run");
    let plan = std::fs::read_to_string(format!("{folder}/plan.json")).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert!(Path::new(&folder).join("plan.png").exists());
    let after = plan["parameters_after"].as_u64().unwrap();
    assert!(2 * after <= plan["parameters_before"].as_u64().unwrap());
    let full = train(&place, "full", &["--targets", "all-linear", "--rank", "4"]);
    let trainable = |report: &Value| report["parameters"]["trainable"].as_u64().unwrap();
    let saved = plan["parameters_before"].as_u64().unwrap() - after;
    assert_eq!(
        trainable(&full) - trainable(&report),
        saved,
        "heads are alike"
    );
    let warm = std::fs::read_to_string(format!("{folder}/warm/results.json")).unwrap();
    let warm: Value = serde_json::from_str(&warm).unwrap();
    assert_eq!(
        (&warm["method"], &warm["examples"]),
        (&"lora".into(), &32.into())
    );

    gone_on(&place, &folder, &report, &all);
}

/// A resumed run has its plan already.
fn gone_on(place: &Place, folder: &str, report: &Value, all: &[&str]) {
    let bytes = || std::fs::read(format!("{folder}/adapter_model.safetensors")).unwrap();
    let last = bytes();
    let warm_file = format!("{folder}/warm/adapter_model.safetensors");
    let written = || std::fs::metadata(&warm_file).unwrap().modified().unwrap();
    let before = written();
    let steps = report["steps"].as_u64().unwrap();
    std::fs::remove_dir_all(format!("{folder}/checkpoint-{steps}")).unwrap();
    std::fs::remove_file(format!("{folder}/adapter_model.safetensors")).unwrap();
    train(place, "run", &[all, &["--resume"]].concat());
    assert_eq!(bytes(), last);
    assert_eq!(written(), before, "what was measured is not trained again");
    let fails = |more: &[&str]| place.training("run", more, failure);
    let both = [all, &["--set", "prune.threshold=0.5", "--overwrite"]].concat();
    let (code, error) = fails(&both);
    assert!(code == 2 && error.contains("give one of them"), "{error}");
    let other = [all, &["--set", "prune.keep=0.4", "--resume"]].concat();
    let (code, error) = fails(&other);
    assert!(code == 2 && error.contains("other settings"), "{error}");
    for wrong in [
        "prune.keep=50",
        "prune.sample=0",
        "data.sample=2",
        "prune.warm_epochs=0",
    ] {
        let (code, error) = fails(&["--method", "lora-drop", "--set", wrong]);
        assert!(
            code == 2 && error.contains(wrong.split_once('=').unwrap().0),
            "{error}"
        );
    }
}

#[test]
fn budgets_and_scores_are_compared_before_anything_is_trained() {
    let place = Place::new();
    train(&place, "warm", &["--targets", "all-linear", "--rank", "4"]);
    let several = ["--threshold", "0.5,0.9,1", "--keep", "0.5", "--sample", "1"];
    let result = json(&words(&prune(&place, "warm", &several)));
    let parameters: Vec<u64> = result["plans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plan| plan["parameters_after"].as_u64().unwrap())
        .collect();
    assert!(
        parameters[0] < parameters[1] && parameters[1] <= parameters[2],
        "{parameters:?}"
    );
    assert_eq!(
        parameters[2],
        result["plans"][0]["parameters_before"].as_u64().unwrap()
    );
    let text = stdout(&words(&prune(&place, "warm", &several)));
    assert!(
        text.contains("threshold 0.9") && text.contains("keep 50 %"),
        "{text}"
    );
    for score in ["output", "output-l2", "parameters", "gradient", "random"] {
        for scope in ["per-type", "global"] {
            let args = prune(&place, "warm", &["--score", score, "--scope", scope]);
            let plan = &json(&words(&args))["plans"][0];
            assert_eq!(plan["score"], score);
            let sites = plan["sites"].as_array().unwrap();
            assert!(
                sites
                    .iter()
                    .all(|site| site["score"].as_f64().unwrap() > 0.0),
                "{score}: {plan}"
            );
        }
    }
}

#[test]
fn what_cannot_be_pruned_is_said() {
    let place = Place::new();
    train(&place, "dora", &["--method", "dora", "--max-steps", "1"]);
    let (code, error) = failure(&words(&prune(&place, "dora", &[])));
    assert!(code == 2 && error.contains("`dora`"), "{error}");
    train(&place, "warm", &["--max-steps", "1"]);
    let fails = |more: &[&str]| failure(&words(&prune(&place, "warm", more)));
    assert!(fails(&["--threshold", "1.5"]).1.contains("found 1.5"));
    assert_eq!(fails(&["--keep", "half"]).0, 2);
    assert_eq!(fails(&["--sample", "0"]).0, 2);
    assert_eq!(fails(&["--out", &place.path("plan.svg")]).0, 2);
    let plan = place.path("plan.json");
    assert_eq!(fails(&["--threshold", "0.1,0.2", "--out", &plan]).0, 2);
    let adapter = place.path("warm");
    let bare = ["prune", "--model", &place.model, "--adapter", &adapter];
    let (code, error) = failure(&bare);
    assert!(code == 2 && error.contains("--data"), "{error}");
    let random = json(&[&bare[..], &["--score", "random", "--out", &plan]].concat());
    assert_eq!(random["examples"], 0);
    // A plan of another model.
    let text = std::fs::read_to_string(&plan)
        .unwrap()
        .replace("layer.0", "layer.9");
    std::fs::write(&plan, text).unwrap();
    let (_, error) = place.training("out", &["--plan", &plan], failure);
    assert!(error.contains("layer.9"), "{error}");
}
