//! `peft extract`: a fine-tuned model as an adapter of its base.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::place::Place;
use binary::{failure, json, stdout};

#[test]
fn a_merged_adapter_comes_out_of_the_model_again() {
    let place = Place::new();
    let targets = ["--targets", "all-linear", "--rank", "3"];
    place.train("a", &targets);
    let [adapter, merged, out, cut] = ["a", "merged", "out", "cut"].map(|name| place.path(name));
    let model = place.model.as_str();
    json(&[
        "merge",
        "--model",
        model,
        "--adapter",
        &adapter,
        "--out",
        &merged,
    ]);
    let base = ["extract", "--base", model, "--tuned", &merged];
    let whole = json(&[&base[..], &["--rank", "3", "--out", &out]].concat());
    assert!(whole["error"].as_f64().unwrap() < 1e-3, "{whole}");
    let sites = whole["sites"].as_object().unwrap();
    assert!(
        sites.len() > 10 && sites.values().all(|site| site["rank"] == 3),
        "{whole}"
    );
    let text = stdout(&[&base[..], &["--energy", "0.5", "--out", &cut]].concat());
    assert!(text.contains("lost of the difference"), "{text}");
    let nowhere = place.path("x");
    let no_model = [
        "extract", "--base", model, "--tuned", &adapter, "--out", &nowhere,
    ];
    let (_, error) = failure(&no_model);
    assert!(error.contains(&adapter), "{error}");
}
