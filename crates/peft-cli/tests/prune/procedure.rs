//! The settings of the whole procedure: when layers are measured, and what the run by the plan starts from.

use serde_json::Value;

use crate::binary::place::{LORA_DROP, Place};
use crate::binary::{failure, json};
use crate::train;

/// So slow that a run ends where it began.
const STILL: [&str; 4] = ["--set", "train.epochs=1", "--set", "train.lr=1e-12"];

fn loss(report: &Value) -> f64 {
    report["loss"].as_f64().unwrap()
}

#[test]
fn layers_are_measured_in_the_steps_of_training() {
    let place = Place::new();
    let online = [&LORA_DROP[..], &["--set", "prune.measure=online"]].concat();
    train(&place, "online", &online);
    train(&place, "after", &LORA_DROP);
    let scores = |run: &str| -> Vec<f64> {
        let text = std::fs::read_to_string(place.path(&format!("{run}/plan.json"))).unwrap();
        let plan: Value = serde_json::from_str(&text).unwrap();
        let sites = plan["sites"].as_array().unwrap().iter();
        sites.map(|site| site["score"].as_f64().unwrap()).collect()
    };
    let (online, after) = (scores("online"), scores("after"));
    assert!(online.iter().all(|score| *score > 0.0), "{online:?}");
    assert_eq!(online.len(), after.len());
    assert_ne!(online, after, "both saw the same");

    let by_size = [
        "--set",
        "prune.measure=online",
        "--set",
        "prune.score=parameters",
    ];
    let (code, error) = place.training("other", &[&LORA_DROP[..], &by_size].concat(), failure);
    assert!(code == 2 && error.contains("prune.measure"), "{error}");
}

#[test]
fn a_run_by_a_plan_goes_on_from_the_measured_lora() {
    let place = Place::new();
    let how = [&LORA_DROP[..], &["--set", "prune.start=warm"]].concat();
    let from_warm = train(&place, "run", &how);
    let from_fresh = train(&place, "fresh", &LORA_DROP);
    assert_ne!(from_warm["scores"]["loss"], from_fresh["scores"]["loss"]);
    let [plan, warm, valid] =
        ["run/plan.json", "run/warm", "valid.jsonl"].map(|part| place.path(part));
    let base = [
        "eval",
        "--model",
        &place.model,
        "--data",
        &valid,
        "--adapter",
    ];
    let measured = loss(&json(&[&base[..], &[&warm]].concat()));
    let by_plan = ["--plan", &plan];
    let on = train(
        &place,
        "on",
        &[&by_plan[..], &["--start", &warm], &STILL].concat(),
    );
    let afresh = train(&place, "afresh", &[&by_plan[..], &STILL].concat());
    let (on, afresh) = (loss(&on["scores"]), loss(&afresh["scores"]));
    // Half of the layers share another's pair now, so it is not quite what was measured.
    assert!(
        (on - measured).abs() < 0.5 * (afresh - measured).abs(),
        "measured {measured}, gone on {on}, afresh {afresh}"
    );
    // The same adapter, gone on with by its own settings, is exactly where it was.
    let settings = ["--targets", "all-linear", "--rank", "4", "--start", &warm];
    let same = train(&place, "same", &[&settings[..], &STILL].concat());
    assert!(
        (loss(&same["scores"]) - measured).abs() < 1e-6,
        "{measured} and {same}"
    );

    let again = [&settings[..], &["--overwrite"]].concat();
    let fails = |more: &[&str]| {
        let all = [&again[..], more].concat();
        place.training("other", &all, failure).1
    };
    assert!(fails(&["--alpha", "3"]).contains("alpha"));
    assert!(fails(&["--method", "rslora"]).contains("use_rslora"));
    let other_rank = ["--set", "adapter.rank=2", "--set", "adapter.alpha=8.0"];
    assert!(fails(&other_rank).contains("rank: the folder has 4, this adapter 2"));
}
