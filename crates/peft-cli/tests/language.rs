//! Language models from end to end: every method trains, is scored, merged and continues prompts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::decoder::Place;
use binary::{failure, json, merges, stdout};
use serde_json::Value;

impl Place {
    /// Trains the adapter or model folder `name`; gives what was reported.
    fn train(&self, name: &str, method: &str, more: &[&str]) -> Value {
        let (model, train, valid, out) = (
            self.path("model"),
            self.path("train.jsonl"),
            self.path("valid.jsonl"),
            self.path(name),
        );
        let fixed = [
            "train",
            "--task",
            "causal-lm",
            "--model",
            &model,
            "--train",
            &train,
        ];
        let settings = [
            "--valid", &valid, "--method", method, "--out", &out, "--lr", "1e-2",
        ];
        let sizes = ["--max-length", "32", "--batch-size", "4", "--epochs", "2"];
        json(&[&fixed[..], &settings, &sizes, more].concat())
    }

    fn loss(&self, model: &str, more: &[&str]) -> f64 {
        let (model, valid) = (self.path(model), self.path("valid.jsonl"));
        let fixed = [
            "eval",
            "--task",
            "causal-lm",
            "--model",
            &model,
            "--data",
            &valid,
        ];
        let score = json(&[&fixed[..], &["--max-length", "32"], more].concat());
        score["loss"].as_f64().unwrap()
    }

    /// The answers to prompts.
    fn answers(&self, model: &str, prompts: &[&str], more: &[&str]) -> Vec<String> {
        let model = self.path(model);
        let mut args = vec!["generate", "--model", &model, "--max-new-tokens", "12"];
        args.extend(prompts.iter().flat_map(|prompt| ["--prompt", prompt]));
        let result = json(&[&args[..], more].concat());
        let answers = result["answers"].as_array().unwrap().iter();
        answers
            .map(|answer| answer["answer"].as_str().unwrap().to_owned())
            .collect()
    }
}

const PROMPTS: [&str; 2] = ["the film was", "a good"];

#[test]
fn every_method_trains_a_language_model_is_scored_and_merged() {
    let place = Place::new();
    let before = place.loss("model", &[]);
    for method in json(&["methods"])["methods"].as_array().unwrap() {
        let method = method["id"].as_str().unwrap();
        let report = place.train(method, method, &["--targets", "all-linear", "--rank", "4"]);
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
            assert_eq!(method, "moe-lora");
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
fn prompts_are_continued_with_the_base_an_adapter_or_one_for_each() {
    let place = Place::new();
    place.train("a", "lora", &["--targets", "all-linear"]);
    let (adapter, model) = (place.path("a"), place.path("model"));
    let with = |more: &[&str]| {
        let named = format!("a={adapter}");
        place.answers(
            "model",
            &PROMPTS,
            &[&["--adapter", &named][..], more].concat(),
        )
    };
    let base = place.answers("model", &PROMPTS, &[]);
    let adapted = with(&[]);
    assert!(base[0] != adapted[0] && base[1] != adapted[1]);
    assert_eq!(
        with(&["--use-adapters", "base,a"]),
        [base[0].clone(), adapted[1].clone()]
    );
    json(&[
        "merge",
        "--model",
        &model,
        "--adapter",
        &adapter,
        "--out",
        &place.path("merged"),
    ]);
    assert_eq!(place.answers("merged", &PROMPTS, &[]), adapted);

    let drawn = |seed| with(&["--temperature", "1", "--seed", seed]);
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
}

#[test]
fn a_prompt_goes_through_the_chat_template_of_the_model() {
    let place = Place::new();
    let (code, error) = failure(&[
        "generate",
        "--model",
        &place.path("model"),
        "--prompt",
        "a",
        "--chat",
    ]);
    assert!(
        code == 2 && error.contains("has no chat template"),
        "{error}"
    );
    let template = "{% for message in messages %}{{ message.role }} {{ message.content }} {% endfor %}\
                    {% if add_generation_prompt %}the film {% endif %}";
    std::fs::write(
        Path::new(&place.path("model")).join("chat_template.jinja"),
        template,
    )
    .unwrap();
    let chat = place.answers("model", &["was good"], &["--chat", "--system", "some"]);
    // The bundled tokenizer puts special tokens around a text, which a template is to write itself.
    let plain = place.answers("model", &["system some user was good the film"], &[]);
    assert!(!chat[0].is_empty() && chat != plain);
}

#[test]
fn answers_end_where_generation_config_says_and_texts_end_as_the_tokenizer_does() {
    let place = Place::new();
    let file = |name: &str| Path::new(&place.path("model")).join(name);
    let tokens = || {
        let arguments = ["generate", "--model", &place.path("model"), "--prompt", "a"];
        let result = json(&[&arguments[..], &["--max-new-tokens", "4"]].concat());
        result["answers"][0]["tokens"].as_u64().unwrap()
    };
    assert_eq!(tokens(), 4);
    let every: Vec<u32> = (0..270).collect();
    let generation = serde_json::json!({"eos_token_id": every}).to_string();
    std::fs::write(file("generation_config.json"), generation).unwrap();
    assert_eq!(tokens(), 0);
    std::fs::write(file("generation_config.json"), "{").unwrap();
    let (code, error) = failure(&["generate", "--model", &place.path("model"), "--prompt", "a"]);
    assert!(
        code == 1 && error.contains("generation_config.json"),
        "{error}"
    );
    std::fs::remove_file(file("generation_config.json")).unwrap();

    // Another end to learn gives other rows and so another adapter.
    let short = ["--targets", "q_proj", "--rank", "2", "--max-steps", "2"];
    place.train("by-config", "lora", &short);
    let tokenizer = r#"{"eos_token": {"content": "film"}}"#;
    std::fs::write(file("tokenizer_config.json"), tokenizer).unwrap();
    place.train("by-tokenizer", "lora", &short);
    let adapter =
        |run: &str| std::fs::read(Path::new(&place.path(run)).join("adapter_model.safetensors"));
    assert_ne!(
        adapter("by-config").unwrap(),
        adapter("by-tokenizer").unwrap()
    );
}

#[test]
fn an_answer_ends_before_a_stop_text_and_is_printed_as_it_comes() {
    let place = Place::new();
    let model = place.path("model");
    let whole = place.answers("model", &PROMPTS[..1], &[]).remove(0);
    let middle = whole
        .char_indices()
        .nth(whole.chars().count() / 2)
        .unwrap()
        .0;
    let stop = whole[middle..].split_inclusive(' ').next().unwrap();
    let expected = &whole[..whole.find(stop).unwrap()];
    let stopped = place.answers("model", &PROMPTS[..1], &["--stop", stop]);
    assert_eq!(stopped, [expected]);
    let args = ["generate", "--model", &model, "--prompt", PROMPTS[0]];
    let text = stdout(&[&args[..], &["--max-new-tokens", "12", "--stop", stop]].concat());
    assert_eq!(text, format!("{}{expected}\n", PROMPTS[0]));
}

#[test]
fn the_dry_run_counts_what_training_trains() {
    let place = Place::new();
    let (model, train) = (place.path("model"), place.path("train.jsonl"));
    let plan = json(&[
        "targets",
        "--task",
        "causal-lm",
        "--model",
        &model,
        "--train",
        &train,
    ]);
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
    let (train, valid, out) = (
        place.path("train.jsonl"),
        place.path("valid.jsonl"),
        place.path("b"),
    );
    let run = |more: &[&str]| {
        let fixed = [
            "train",
            "--task",
            "causal-lm",
            "--model",
            &model,
            "--train",
            &train,
            "--out",
            &out,
        ];
        failure(&[&fixed[..], &["--set", prompts], more].concat())
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
    let (model, train) = (place.path("model"), place.path("train.jsonl"));
    let out = place.path("out");
    let fixed = [
        "train",
        "--task",
        "causal-lm",
        "--model",
        &model,
        "--train",
        &train,
    ];
    let (code, error) = failure(&[&fixed[..], &["--out", &out, "--method", "head"]].concat());
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
    let (model, train, out) = (
        place.path("model"),
        place.path("train.jsonl"),
        place.path("out"),
    );
    let arguments = ["generate", "--model", &model, "--prompt", "the film"];
    let output = binary::peft(&[&arguments[..], &["--max-new-tokens", "100", "--json"]].concat());
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("takes 64 tokens in all"), "{warning}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tokens = result["answers"][0]["tokens"].as_u64().unwrap();
    assert!((1..64).contains(&tokens), "{result}");

    let arguments = [
        "train",
        "--task",
        "causal-lm",
        "--model",
        &model,
        "--train",
        &train,
        "--out",
        &out,
        "--max-length",
        "100",
        "--max-steps",
        "1",
    ];
    let output = binary::peft(&arguments);
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{warning}");
    assert!(
        warning.contains("at most 64 tokens, data.max_length is 100"),
        "{warning}"
    );
}
