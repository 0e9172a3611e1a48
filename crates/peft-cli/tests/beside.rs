//! What stands beside an adapter and a model: tokenizer, chat template and generation settings.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::decoder::Place;
use binary::{failure, merge, said};
use serde_json::{Value, json};

const TEMPLATE: &str = "{% for message in messages %}{{ message.role }} {{ message.content }} {% endfor %}\
                        {% if add_generation_prompt %}the film {% endif %}";

fn write(folder: &str, name: &str, text: &str) {
    std::fs::write(Path::new(folder).join(name), text).unwrap();
}

fn read(folder: &str, name: &str) -> String {
    std::fs::read_to_string(Path::new(folder).join(name)).unwrap()
}

#[test]
fn a_chat_template_beside_the_adapter_is_used_and_goes_into_the_merged_model() {
    let place = Place::new();
    let (model, adapter) = (place.path("model"), place.small("a"));
    let (merged, named) = (place.path("merged"), place.path("named"));
    let fixed = ["generate", "--model", &model, "--prompt", "a", "--chat"];
    let (code, error) = failure(&[&fixed[..], &["--adapter", &adapter]].concat());
    assert!(code == 2 && error.contains("--tokenizer"), "{error}");
    write(&adapter, "chat_template.jinja", TEMPLATE);
    let with = ["--chat", "--adapter", &adapter];
    let answer = place.answers("model", &["good"], &with);
    let notice = merge(&model, &adapter, &merged, said);
    assert!(notice.contains("chat template: taken from"), "{notice}");
    assert_eq!(read(&merged, "chat_template.jinja"), TEMPLATE);
    assert_eq!(place.answers("merged", &["good"], &["--chat"]), answer);
    // A folder that is named comes before the adapter's own.
    std::fs::create_dir(&named).unwrap();
    write(
        &named,
        "chat_template.jinja",
        "{{ messages[0].content }} film",
    );
    let other = place.answers(
        "model",
        &["good"],
        &[&with[..], &["--tokenizer", &named]].concat(),
    );
    assert_ne!(other, answer);
}

#[test]
fn a_run_that_goes_on_from_an_adapter_keeps_what_stands_beside_it() {
    let place = Place::new();
    let adapter = place.small("a");
    write(&adapter, "chat_template.jinja", TEMPLATE);
    let out = place.path("b");
    let more = [
        "--start",
        &adapter,
        "--max-steps",
        "1",
        "--max-length",
        "32",
        "--out",
        &out,
    ];
    place.training(&more, binary::json);
    assert_eq!(read(&out, "chat_template.jinja"), TEMPLATE);
}

#[test]
fn a_tokenizer_of_a_larger_model_is_refused_with_both_numbers_and_the_way_out() {
    let place = Place::new();
    let (model, adapter) = (place.path("model"), place.small("a"));
    let mut tokenizer: Value = serde_json::from_str(&read(&model, "tokenizer.json")).unwrap();
    tokenizer["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": 277, "content": "<new>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true
    }));
    write(&adapter, "tokenizer.json", &tokenizer.to_string());
    let args = [
        "generate",
        "--model",
        &model,
        "--adapter",
        &adapter,
        "--prompt",
        "the film",
    ];
    let (code, error) = failure(&args);
    assert!(
        code == 1 && error.contains("270") && error.contains("--tokenizer"),
        "{error}"
    );
    let own = said(&[&args[..], &["--tokenizer", &model, "--max-new-tokens", "2"]].concat());
    assert!(!own.contains("taken from"), "{own}");
}

#[test]
fn generation_settings_of_the_model_are_the_defaults_and_are_said() {
    let place = Place::new();
    let model = place.path("model");
    let settings = |fields: Value| write(&model, "generation_config.json", &fields.to_string());
    let prompts = ["the film was", "a good"];
    let greedy = place.answers("model", &prompts, &[]);
    let penalised = place.answers("model", &prompts, &["--repetition-penalty", "1.7"]);
    assert_ne!(greedy, penalised);
    settings(json!({"repetition_penalty": 1.7}));
    assert_eq!(place.answers("model", &prompts, &[]), penalised);
    let one = ["--repetition-penalty", "1"];
    assert_eq!(place.answers("model", &prompts, &one), greedy);
    // No word comes twice where no single token may.
    settings(json!({"no_repeat_ngram_size": 1, "num_beams": 4}));
    let other = place.answers("model", &prompts, &[]);
    assert_ne!(other, greedy);
    let args = [
        "generate",
        "--model",
        &model,
        "--prompt",
        "the film",
        "--max-new-tokens",
        "3",
    ];
    let notice = said(&args);
    assert!(
        notice.contains("no_repeat_ngram_size 1") && notice.contains("not applied: num_beams 4"),
        "{notice}"
    );
    settings(json!({"do_sample": true, "temperature": 0.6, "top_k": 3, "max_new_tokens": 5}));
    let notice = said(&args);
    assert!(notice.contains("--temperature 0.6 --top-k 3"), "{notice}");
    let five = binary::json(&args[..5]);
    assert_eq!(five["answers"][0]["tokens"], 5);
    settings(json!({"suppress_tokens": "all"}));
    let (_, error) = failure(&args);
    assert!(
        error.contains("`suppress_tokens`") && error.contains("generation_config.json"),
        "{error}"
    );
}
