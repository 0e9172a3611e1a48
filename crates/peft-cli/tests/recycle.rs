//! EigenLoRAx from end to end: a basis of trained adapters, one that joins, one that comes back, and one that is trained in it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::place::{Place, largest_difference};
use binary::{failure, json, stdout, succeeded};
use serde_json::Value;

const LORA: [&str; 4] = ["--targets", "all-linear", "--rank", "2"];

/// Four adapters that were trained alike, but for their seeds.
fn pool(place: &Place) -> Vec<String> {
    let names = ["a", "b", "c", "d"];
    for (seed, name) in names.iter().enumerate() {
        place.train(name, &[&LORA[..], &["--seed", &seed.to_string()]].concat());
    }
    names.iter().map(|name| place.path(name)).collect()
}

fn recycle<'a>(verb: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["recycle", verb], rest].concat()
}

fn lost(report: &Value) -> f64 {
    report["error"]["product"].as_f64().unwrap()
}

#[test]
fn adapters_join_a_basis_come_back_and_a_new_one_is_trained_in_it() {
    let place = Place::new();
    let adapters = pool(&place);
    let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| adapters[at].as_str());
    let basis = place.path("basis");
    let built = json(&recycle(
        "build",
        &[a, b, c, "--out", &basis, "--components", "6"],
    ));
    assert_eq!(built["members"].as_array().unwrap().len(), 3);
    assert!(
        lost(&built) < 1e-5,
        "six directions hold three pairs of rank 2: {}",
        lost(&built)
    );
    let held_out = lost(&json(&recycle("project", &[&basis, d])));
    assert!(held_out > 0.01, "{held_out}");
    let added = json(&recycle("add", &[&basis, d, "--extend", "0"]));
    assert!(lost(&added) < 1e-5, "{}", lost(&added));
    let info = json(&recycle("info", &[&basis, "--draw", &place.path("drawn")]));
    assert_eq!(info["members"].as_array().unwrap().len(), 4);
    assert!(Path::new(&place.path("drawn/explained.png")).exists());
    assert!(stdout(&recycle("info", &[&basis])).contains("times smaller"));

    let back = place.path("back");
    json(&recycle("reconstruct", &[&basis, "d", "--out", &back]));
    let logits = |adapter: &str| place.logits("valid.jsonl", &["--adapter", adapter]);
    // The folder has the head, but not the names of the labels, which numbers stand for.
    std::fs::copy(format!("{d}/labels.json"), format!("{back}/labels.json")).unwrap();
    assert!(largest_difference(&logits(d), &logits(&back)) < 1e-4);

    trained_in(&place, &basis);
    json(&recycle("remove", &[&basis, "a"]));
    let error = failure(&recycle(
        "reconstruct",
        &[&basis, "a", "--out", &place.path("x")],
    ))
    .1;
    assert!(error.contains('b') && error.contains('a'), "{error}");
}

/// Every start trains in the basis, and what comes out is a plain LoRA too.
fn trained_in(place: &Place, basis: &str) {
    let method = ["--method", "eigenlorax", "--basis", basis];
    let options = |run: &str, more: &[&str]| {
        place.train(run, &[&method[..], &LORA, more].concat());
        place.path(run)
    };
    let zero = options("zero", &[]);
    let config = std::fs::read_to_string(format!("{zero}/adapter_config.json")).unwrap();
    assert!(config.contains("EIGENLORAX"));
    options("mean", &["--set", "adapter.options.init=\"mean\""]);
    options("uniform", &["--set", "adapter.options.init=\"uniform\""]);
    let from = format!("adapter.options.project=\"{}\"", place.path("b"));
    let project = ["--set", "adapter.options.init=\"project\"", "--set", &from];
    options("project", &project);
    let apart = options("apart", &["--set", "adapter.options.save_components=false"]);
    let size = |folder: &str| {
        let file = format!("{folder}/adapter_model.safetensors");
        std::fs::metadata(file).unwrap().len()
    };
    assert!(
        2 * size(&apart) < size(&zero),
        "{} and {}",
        size(&apart),
        size(&zero)
    );
    let logits = |adapter: &str| place.logits("valid.jsonl", &["--adapter", adapter]);
    assert!(largest_difference(&logits(&apart), &logits(&zero)) < 1e-6);
    let plain = place.path("plain");
    json(&[
        "convert",
        &zero,
        "--model",
        &place.model,
        "--to",
        "peft",
        "--out",
        &plain,
    ]);
    assert!(largest_difference(&logits(&plain), &logits(&zero)) < 1e-5);
}

#[test]
fn adapters_are_compared_and_left_out() {
    let place = Place::new();
    let adapters = pool(&place);
    let all: Vec<&str> = adapters.iter().map(String::as_str).collect();
    let drawn = place.path("drawn");
    let alike = json(&recycle(
        "similarity",
        &[&all[..], &["--draw", &drawn]].concat(),
    ));
    for at in 0..4 {
        let own = alike["overall"][at][at].as_f64().unwrap();
        assert!((own - 1.0).abs() < 1e-9, "{own}");
    }
    assert!(Path::new(&place.path("drawn/similarity.svg")).exists());
    let out = json(&recycle(
        "leave-one-out",
        &[&all[..], &["--components", "1,3,6"]].concat(),
    ));
    let means: Vec<f64> = serde_json::from_value(out["mean"].clone()).unwrap();
    assert!(
        means[0] >= means[1] && means[1] >= means[2] && means[2] > 0.0,
        "{means:?}"
    );
    assert!(stdout(&recycle("leave-one-out", &all)).contains("mean"));
}

#[test]
fn a_broken_adapter_is_named_and_nothing_is_lost() {
    let place = Place::new();
    let adapters = pool(&place);
    let file = format!("{}/adapter_model.safetensors", adapters[1]);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let all: Vec<&str> = adapters.iter().map(String::as_str).collect();
    let basis = place.path("basis");
    let build = recycle("build", &[&all[..], &["--out", &basis]].concat());
    let error = failure(&build).1;
    assert!(error.contains(&adapters[1]), "{error}");
    assert!(!Path::new(&basis).join("basis.json").exists());
    let (built, said) = succeeded(&[&build[..], &["--skip-bad", "--json"]].concat());
    assert!(said.contains("left out"), "{said}");
    let built: Value = serde_json::from_str(&built).unwrap();
    assert_eq!(built["members"].as_array().unwrap().len(), 3);
    let stored = place.path("s");
    json(&recycle(
        "build",
        &[all[0], all[2], "--mean", "stored", "--out", &stored],
    ));
    let method = ["--method", "eigenlorax", "--basis", &stored];
    let error = place.training("t", &method, failure).1;
    assert!(error.contains("stored mean"), "{error}");
}
