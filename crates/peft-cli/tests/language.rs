//! Language models from end to end: every method trains, is scored and merged; what is said of mistakes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::decoder::Place;
use binary::{failure, json, merges, usual_rank};
use serde_json::Value;

#[test]
fn every_method_trains_a_language_model_is_scored_and_merged() {
    let place = Place::new();
    let before = place.loss("model", &[]);
    for method in json(&["methods"])["methods"].as_array().unwrap() {
        let method = method["id"].as_str().unwrap();
        let sizes = ["--targets", "all-linear", "--rank", usual_rank(method)];
        // VeRA's vectors start at a size where steps of the usual rate are small.
        let more: &[&str] = match method {
            "vera" => &["--set", "adapter.options.d_initial=1.0"],
            _ => &[],
        };
        let report = place.train(method, method, &[&sizes[..], more].concat());
        let trained = report["scores"]["loss"].as_f64().unwrap();
        assert!(trained < before - 0.05, "{method}: {before} to {trained}");
        let adapter = place.path(method);
        let scored = place.loss("model", &["--adapter", &adapter]);
        assert!(
            (scored - trained).abs() < 1e-4,
            "{method}: {trained}, {scored}"
        );
        let (model, merged) = (place.path("model"), place.path(&format!("{method}-merged")));
        if !merges(&model, &adapter, &merged) {
            assert!(
                ["adapterbias", "moe-lora", "reslora"].contains(&method),
                "{method}"
            );
            continue;
        }
        let of_merged = place.loss(&format!("{method}-merged"), &[]);
        assert!(
            (of_merged - trained).abs() < 1e-4,
            "{method}: {trained}, {of_merged}"
        );
    }
    let report = place.train("full", "full", &[]);
    let scored = place.loss("full", &[]);
    assert!((scored - report["scores"]["loss"].as_f64().unwrap()).abs() < 1e-4);
    assert!(scored < before - 0.05);
}

#[test]
fn the_dry_run_counts_what_training_trains() {
    let place = Place::new();
    let plan = place.reading("targets", "train.jsonl", &[], json);
    let report = place.train("a", "lora", &[]);
    assert_eq!(plan["parameters"], report["parameters"]);
    let modules: Vec<&str> = plan["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["module"].as_str().unwrap())
        .collect();
    assert_eq!(
        modules,
        [
            "model.layers.*.self_attn.q_proj",
            "model.layers.*.self_attn.v_proj"
        ]
    );
}

#[test]
fn prompts_are_continued_after_every_evaluation_and_logged() {
    let place = Place::new();
    let prompts = "data.sample_prompts=[\"the film was\", \"a good\"]";
    let few = ["--set", prompts, "--set", "data.sample_tokens=7"];
    let every = [
        "--targets",
        "all-linear",
        "--set",
        "train.gradient_checkpointing=true",
    ];
    place.train("a", "lora", &[&few[..], &every].concat());
    let log = std::fs::read_to_string(place.path("a/train_log.jsonl")).unwrap();
    let records = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let evals: Vec<Value> = records.filter(|record| record["kind"] == "eval").collect();
    assert_eq!(evals.len(), 2);
    let last = evals[1]["samples"].as_array().unwrap();
    assert_eq!(last[0]["prompt"], "the film was");
    let adapter = place.path("a");
    let more = ["--adapter", &adapter, "--max-new-tokens", "7"];
    let model = place.path("model");
    let both = ["--prompt", "the film was", "--prompt", "a good"];
    let answers = json(&[&["generate", "--model", &model], &both[..], &more].concat());
    for (sample, answer) in last.iter().zip(answers["answers"].as_array().unwrap()) {
        assert_eq!(sample["answer"], answer["answer"], "greedy, as in the log");
    }
    let (valid, out) = (place.path("valid.jsonl"), place.path("b"));
    let run = |more: &[&str]| {
        let fixed = ["--out", &out, "--set", prompts];
        place.training(&[&fixed[..], more].concat(), failure)
    };
    let long = ["--valid", &valid, "--set", "data.sample_tokens=64"];
    let (code, error) = run(&long);
    assert!(code == 2 && error.contains("64 positions"), "{error}");
    let (code, error) = run(&[]);
    assert!(code == 2 && error.contains("--valid"), "{error}");
}

#[test]
fn mistakes_are_wrong_usage_with_the_way_out() {
    let place = Place::new();
    let (model, out) = (place.path("model"), place.path("out"));
    let (code, error) = place.training(&["--out", &out, "--method", "head"], failure);
    assert!(
        code == 2 && error.contains("take an adapter or full"),
        "{error}"
    );
    let ask = |more: &[&str]| {
        let fixed = ["generate", "--model", &model, "--prompt", "the"];
        failure(&[&fixed[..], more].concat())
    };
    let (code, error) = ask(&["--use-adapters", "x"]);
    assert!(
        code == 2 && error.contains("no adapter named `x`"),
        "{error}"
    );
    assert_eq!(ask(&["--top-p", "0"]).0, 2);
    let long = "the film was ".repeat(64);
    let (code, error) = failure(&["generate", "--model", &model, "--prompt", &long]);
    assert!(
        code == 2 && error.contains("no room") && error.contains("64 in all"),
        "{error}"
    );
}

#[test]
fn texts_longer_than_the_model_takes_are_cut_to_it_with_a_warning() {
    let place = Place::new();
    let (model, out) = (place.path("model"), place.path("out"));
    let arguments = ["generate", "--model", &model, "--prompt", "the film"];
    let output = binary::peft(&[&arguments[..], &["--max-new-tokens", "100", "--json"]].concat());
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("takes 64 tokens in all"), "{warning}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tokens = result["answers"][0]["tokens"].as_u64().unwrap();
    assert!((1..64).contains(&tokens), "{result}");

    let arguments = ["--out", &out, "--max-length", "100", "--max-steps", "1"];
    let warning = place.training(&arguments, binary::said);
    assert!(
        warning.contains("at most 64 tokens, data.max_length is 100"),
        "{warning}"
    );
}
