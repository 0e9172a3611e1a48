//! `peft combine`: a sum of adapters as one, that predicts what the sum predicts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::place::{Place, largest_difference};
use binary::{failure, json, said, stdout};

#[test]
fn a_weighted_sum_is_one_adapter_and_a_small_one_says_what_it_lost() {
    let place = Place::new();
    let targets = [
        "--targets",
        "all-linear",
        "--set",
        "adapter.modules_to_save=[]",
    ];
    place.train("a", &[&targets[..], &["--rank", "2"]].concat());
    let other = ["--rank", "3", "--alpha", "5", "--seed", "4"];
    place.train("b", &[&targets[..], &other].concat());
    let [a, b] = ["a", "b"].map(|name| place.path(name));
    let (weighted_a, weighted_b) = (format!("{a}=0.7"), format!("{b}=-0.4"));
    let combine = |out: &str, more: &[&str]| {
        let out = place.path(out);
        json(&[&["combine", &weighted_a, &weighted_b, "--out", &out], more].concat())
    };
    for mode in ["exact", "cat"] {
        let exact = combine(mode, &["--mode", mode]);
        assert!(exact["error"].as_f64().unwrap() < 1e-5, "{exact}");
    }
    let small = combine("small", &["--mode", "svd", "--rank", "2"]);
    let lost = small["error"].as_f64().unwrap();
    assert!(lost > 1e-3 && lost < 1.0, "{lost}");
    let labels = place.path("a/labels.json");
    std::fs::copy(&labels, place.path("exact/labels.json")).unwrap();
    let exact = place.path("exact");
    let one = place.logits("valid.jsonl", &["--adapter", &exact]);
    let (named_a, named_b) = (format!("a={a}"), format!("b={b}"));
    let sum = [
        "--adapter",
        &named_a,
        "--adapter",
        &named_b,
        "--sum",
        "a=0.7,b=-0.4",
    ];
    let both = place.logits("valid.jsonl", &sum);
    assert!(largest_difference(&one, &both) < 1e-4);
    let text = stdout(&["combine", &a, "--out", &place.path("alone")]);
    assert!(text.contains("lost of the weighted sum"), "{text}");
}

#[test]
fn modes_of_peft_run_and_what_is_missing_is_said() {
    let place = Place::new();
    place.train("a", &["--rank", "2"]);
    place.train("b", &["--rank", "2", "--seed", "4"]);
    let [a, b] = ["a", "b"].map(|name| place.path(name));
    let fixed = ["combine", &a, &b];
    for mode in [
        "linear",
        "ties",
        "dare-linear",
        "dare-ties",
        "magnitude-prune",
    ] {
        let out = place.path(mode);
        let by_factors = json(&[&fixed[..], &["--mode", mode, "--out", &out]].concat());
        assert!(by_factors["error"].as_f64().unwrap() > 0.0, "{mode}");
        let out = place.path(&format!("{mode}-updates"));
        let more = ["--mode", mode, "--updates", "--rank", "4", "--out", &out];
        json(&[&fixed[..], &more].concat());
    }
    let out = place.path("none");
    let fails = |more: &[&str]| failure(&[&fixed[..], &["--out", &out], more].concat());
    let (code, error) = fails(&["--mode", "svd"]);
    assert!(code == 2 && error.contains("--rank"), "{error}");
    assert!(fails(&["--head", "nobody"]).1.contains("nobody"));
    let wrong = format!("{a}=much");
    let (code, error) = failure(&["combine", &wrong, "--out", &out]);
    assert!(code == 2 && error.contains("`much`"), "{error}");
}

/// Gives an adapter folder another field of its configuration.
fn set(folder: &str, field: &str, value: &str) {
    let path = std::path::Path::new(folder).join("adapter_config.json");
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config[field] = value.into();
    std::fs::write(path, config.to_string()).unwrap();
}

#[test]
fn one_base_under_two_names_is_taken_with_a_warning_and_other_layers_are_not() {
    let place = Place::new();
    place.train("a", &["--rank", "2"]);
    place.train("b", &["--rank", "2", "--seed", "4"]);
    place.train("c", &["--rank", "2", "--targets", "key"]);
    let [a, b, c] = ["a", "b", "c"].map(|name| place.path(name));
    set(&a, "base_model_name_or_path", "some/base");
    set(&b, "base_model_name_or_path", "other/base-bnb-4bit");
    set(&c, "base_model_name_or_path", "another/model");
    for (verb, more) in [
        (&["combine"][..], &[][..]),
        (&["recycle", "build"], &["--components", "2"]),
    ] {
        let out = place.path(verb[0]);
        let warned = said(&[verb, &[&a, &b, "--out", &out], more].concat());
        assert!(
            warned.contains("some/base, other/base-bnb-4bit") && warned.contains("--any-base"),
            "{warned}"
        );
        let out = place.path(&format!("{}-any", verb[0]));
        let silent = said(&[verb, &[&a, &b, "--any-base", "--out", &out], more].concat());
        assert!(!silent.contains("some/base"), "{silent}");
    }
    let named = place.path("named");
    said(&["combine", &a, &b, "--base", "the/base", "--out", &named]);
    let config = std::fs::read_to_string(format!("{named}/adapter_config.json")).unwrap();
    assert!(config.contains("the/base"), "{config}");
    let (_, error) = failure(&["combine", &a, &c, "--out", &place.path("none")]);
    assert!(
        error.contains("no layers in common") && !error.contains("recycle"),
        "{error}"
    );
}

#[test]
fn heads_of_other_labels_are_not_averaged_and_what_is_alike_is_carried_on() {
    let place = Place::new();
    place.train("a", &["--rank", "2"]);
    place.train("b", &["--rank", "2", "--seed", "4"]);
    let [a, b] = ["a", "b"].map(|name| place.path(name));
    let out = place.path("alike");
    let text = stdout(&["combine", &a, &b, "--out", &out]);
    assert!(
        text.contains("averaged by the weights, not added: "),
        "{text}"
    );
    let labels = |folder: &str| std::fs::read_to_string(format!("{folder}/labels.json")).unwrap();
    assert_eq!(labels(&out), labels(&a));
    let turned: Vec<String> = serde_json::from_str(&labels(&b)).unwrap();
    let turned: Vec<&String> = turned.iter().rev().collect();
    std::fs::write(
        format!("{b}/labels.json"),
        serde_json::to_string(&turned).unwrap(),
    )
    .unwrap();
    let (code, error) = failure(&["combine", &a, &b, "--out", &place.path("none")]);
    assert!(code == 2 && error.contains("--head a"), "{error}");
    let of_b = place.path("of-b");
    json(&["combine", &a, &b, "--head", "b", "--out", &of_b]);
    assert_eq!(labels(&of_b), labels(&b));
}
