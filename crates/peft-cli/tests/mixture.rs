//! Mixtures of experts from end to end: train by the published recipe, resume, look at the experts, start from adapters; and preconditioned
//! steps of other methods.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::place::{Place, largest_difference};
use binary::{failure, json, stdout};
use serde_json::Value;

const EXPERTS: [&str; 10] = [
    "--method",
    "moe-lora",
    "--experts",
    "4",
    "--top-k",
    "2",
    "--rank",
    "2",
    "--targets",
    "all-linear",
];
const RECIPE: [&str; 8] = [
    "--gate-rescale",
    "sqrt-detach",
    "--procedure",
    "riemannian",
    "--dropout",
    "0.05",
    "--set",
    "train.groups=[{params=\"router.weight\",lr=1e-3,clip_norm=1.0,schedule=\"constant\"}]",
];

fn train(place: &Place, name: &str, more: &[&str]) -> Value {
    let size = ["--batch-size", "16"];
    place.judged(name, &[&size[..], more].concat(), json)
}

fn fails(place: &Place, more: &[&str]) -> String {
    let again = ["--overwrite"];
    let all = [&again[..], more].concat();
    place.training("failed", &all, failure).1
}

/// A figure of every training record in the log of a run.
fn losses(place: &Place, run: &str, figure: &str) -> Vec<f64> {
    let log = std::fs::read_to_string(place.path(&format!("{run}/train_log.jsonl"))).unwrap();
    let records = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .filter(|record| record["kind"] == "train")
        .filter_map(|record| record[figure].as_f64())
        .collect()
}

#[test]
fn the_recipe_trains_resumes_to_the_bit_and_shows_its_experts() {
    let place = Place::new();
    let how = [
        "--lr",
        "2e-2",
        "--epochs",
        "8",
        "--set",
        "train.save_every=10",
        "--set",
        "train.log_every=8",
    ];
    let all = [&EXPERTS[..], &RECIPE, &how].concat();
    let report = train(&place, "run", &all);
    let learnt = losses(&place, "run", "loss");
    assert!(learnt[learnt.len() - 1] < 0.8 * learnt[0], "{learnt:?}");
    let folder = place.path("run");
    let bytes = |name: &str| std::fs::read(format!("{folder}/{name}")).unwrap();
    let last = bytes("adapter_model.safetensors");
    let steps = report["steps"].as_u64().unwrap();
    std::fs::remove_dir_all(format!("{folder}/checkpoint-{steps}")).unwrap();
    std::fs::remove_file(format!("{folder}/adapter_model.safetensors")).unwrap();
    train(&place, "run", &[&all[..], &["--resume"]].concat());
    assert_eq!(bytes("adapter_model.safetensors"), last);

    let used: Value = serde_json::from_slice(&bytes("experts.json")).unwrap();
    let sites = used["sites"].as_array().unwrap();
    for site in sites {
        let chosen = site["chosen"].as_array().unwrap().iter();
        let sum: f64 = chosen.map(|share| share.as_f64().unwrap()).sum();
        assert!((sum - 2.0).abs() < 1e-9, "{site}");
    }
    let report = json(&["inspect", &folder]);
    assert_eq!(
        report["experts"]["sites"].as_array().unwrap().len(),
        sites.len()
    );
    assert_eq!(report["method"], "moe-lora");
    assert!(stdout(&["inspect", &folder]).contains("entropy"));
    let drawn = json(&["plot", &folder]);
    assert!(
        drawn["files"].to_string().contains("experts.png"),
        "{drawn}"
    );
    assert!(Path::new(&folder).join("experts.svg").exists());
}

#[test]
fn the_losses_of_the_router_and_gradient_checkpointing_go_together() {
    let place = Place::new();
    let how = [
        "--set",
        "adapter.options.balance_loss=0.1",
        "--set",
        "adapter.options.z_loss=0.01",
        "--set",
        "train.log_every=1",
        "--epochs",
        "1",
    ];
    let all = [&EXPERTS[..], &how].concat();
    train(&place, "kept", &all);
    let again = [&all[..], &["--set", "train.gradient_checkpointing=true"]].concat();
    train(&place, "again", &again);
    let [kept, again] = ["kept", "again"].map(|run| losses(&place, run, "loss_of_layers"));
    // 0.1 for every layer where experts are used alike, and more elsewhere.
    assert!(
        kept.len() >= 4 && kept.iter().all(|loss| *loss > 0.1),
        "{kept:?}"
    );
    for (kept, again) in kept.iter().zip(&again) {
        assert!((kept - again).abs() < 1e-5, "{kept} and {again}");
    }
    let logits = |run: &str| place.logits("valid.jsonl", &["--adapter", &place.path(run)]);
    assert!(largest_difference(&logits("kept"), &logits("again")) < 1e-4);
}

#[test]
fn experts_start_as_adapters() {
    let place = Place::new();
    let lora = ["--targets", "all-linear", "--rank", "2"];
    place.train("one", &lora);
    place.train("two", &[&lora[..], &["--seed", "1"]].concat());
    let [one, two] = ["one", "two"].map(|name| place.path(name));
    let started = ["--expert", &one, "--expert", &two, "--experts", "2"];
    let still = ["--lr", "1e-12", "--epochs", "1"];
    let all = [&EXPERTS[..2], &EXPERTS[4..], &started, &still].concat();
    let report = train(&place, "mixed", &all);
    let fresh = train(&place, "fresh", &[&EXPERTS[..], &still].concat());
    let loss = |report: &Value| report["scores"]["loss"].as_f64().unwrap();
    // The head is fresh in both, so the losses say little, but the experts move the outputs.
    assert!((loss(&report) - loss(&fresh)).abs() > 1e-3, "{report}");
    let error = fails(&place, &["--expert", &one]);
    assert!(error.contains("has no experts"), "{error}");
    let wide = [
        "--method",
        "moe-lora",
        "--targets",
        "all-linear",
        "--rank",
        "3",
    ];
    let error = fails(&place, &[&wide[..], &["--expert", &one]].concat());
    assert!(error.contains("rank of the folder"), "{error}");
}

#[test]
fn every_low_rank_method_takes_preconditioned_steps_of_either_optimizer() {
    let place = Place::new();
    for method in [
        "lora",
        "rslora",
        "dora",
        "bora",
        "pissa",
        "lora-drop",
        "moe-lora",
    ] {
        for (optimizer, rate) in [("sgd", "0.02"), ("adamw", "1e-3")] {
            let rate = ["--lr", rate, "--head-lr", "same"];
            let how = [&["--method", method, "--optimizer", optimizer][..], &rate].concat();
            let run = format!("{method}-{optimizer}");
            let plain = train(
                &place,
                &format!("{run}-plain"),
                &[&how[..], &["--epochs", "1"]].concat(),
            );
            let riemannian = [
                &how[..],
                &["--epochs", "1", "--procedure", "riemannian"],
                &[
                    "--set",
                    "procedures.riemannian.damping=0.01",
                    "--set",
                    "procedures.riemannian.order=\"gauss-seidel\"",
                ],
            ];
            let conditioned = train(&place, &run, &riemannian.concat());
            let loss = |report: &Value| report["scores"]["loss"].as_f64().unwrap();
            assert_ne!(loss(&conditioned), loss(&plain), "{run}");
            assert!(loss(&conditioned) < 0.71, "{run}: {conditioned}");
        }
    }
    let plus = train(
        &place,
        "plus",
        &["--set", "train.lora_plus=16", "--epochs", "1"],
    );
    let plain = train(&place, "plain", &["--epochs", "1"]);
    assert_ne!(plus["scores"]["loss"], plain["scores"]["loss"]);
    for (wrong, named) in [
        ("procedures.riemannian.damping=0", "damping"),
        ("train.lora_plus=0", "lora_plus"),
        ("train.optimizer=\"adam\"", "adam"),
        ("train.groups=[{params=\"nothing\",lr=1.0}]", "nothing"),
        (
            "train.groups=[{params=\"lora_A.weight\",lr=-1.0}]",
            "groups.lr",
        ),
        ("train.groups=[{param=\"x\"}]", "param"),
    ] {
        let error = fails(&place, &["--set", wrong]);
        assert!(error.contains(named), "{wrong}: {error}");
    }
}
