//! Texts that a language model continues: by which adapter, through which template, and where they end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::decoder::Place;
use binary::{failure, json, merge, stdout};

const PROMPTS: [&str; 2] = ["the film was", "a good"];

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
    merge(&model, &adapter, &place.path("merged"), json);
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
    let by_config = place.small("by-config");
    let tokenizer = r#"{"eos_token": {"content": "film"}}"#;
    std::fs::write(file("tokenizer_config.json"), tokenizer).unwrap();
    let by_tokenizer = place.small("by-tokenizer");
    let weights = |run: &str| std::fs::read(Path::new(run).join("adapter_model.safetensors"));
    assert_ne!(
        weights(&by_config).unwrap(),
        weights(&by_tokenizer).unwrap()
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
