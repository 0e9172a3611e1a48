//! Chat templates against `transformers` (tools/golden/chat.py): texts, refusals and token ids.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic in a test helper is the failure report, and a skipped test says so"
)]

mod golden_tokenizer;

use std::path::{Path, PathBuf};

use peft_core::testing::outside;
use peft_train::data::{ChatContext, ChatTemplate, TextTokenizer};
use serde_json::Value;

/// The day on which `transformers` rendered.
const TODAY: &str = "2024-07-26";

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn data() -> Option<PathBuf> {
    let configs = outside::data("model_configs")?;
    configs.parent().map(Path::to_owned)
}

fn tokenizer(data: &Path) -> TextTokenizer {
    golden_tokenizer::unlimited(&data.join("models/story-llama-0.65m"))
}

/// Texts, refusals and token ids; how many conversations are rendered.
fn check(template: &ChatTemplate, cases: &Value, tokenizer: Option<&TextTokenizer>) -> usize {
    let mut rendered = 0;
    for case in cases.as_array().unwrap() {
        let messages = case["messages"].as_array().unwrap();
        for (ask, expected) in [(false, &case["text"]), (true, &case["asked"])] {
            let found = template.render(messages, &ChatContext::default(), ask);
            match (found, expected.as_str()) {
                (Ok(text), Some(expected)) => assert_eq!(text, expected),
                (Err(error), None) => assert!(error.to_string().contains("chat template")),
                (found, expected) => panic!("{found:?}, expected {expected:?}: {messages:?}"),
            }
        }
        let (Some(ids), Some(text)) = (case.get("ids"), case["text"].as_str()) else {
            continue;
        };
        rendered += 1;
        if let Some(tokenizer) = tokenizer {
            assert_eq!(Value::from(tokenizer.ids(text, false).unwrap()), *ids);
        }
    }
    rendered
}

#[test]
fn our_templates_render_and_refuse_as_in_transformers() {
    let data = data();
    let tokenizer = data.as_deref().map(tokenizer);
    let mut rendered = 0;
    for (name, ours) in golden()["ours"].as_object().unwrap() {
        let fields = ours["config"].as_object().unwrap();
        let source = fields["chat_template"].as_str().unwrap().to_owned();
        let template = ChatTemplate::new(PathBuf::from(name), source, fields);
        let template = template.on(TODAY).unwrap();
        rendered += check(&template, &ours["cases"], tokenizer.as_ref());
    }
    assert_eq!(rendered, 12);
}

#[test]
fn published_templates_render_as_in_transformers() {
    let Some(data) = data() else {
        return;
    };
    let tokenizer = tokenizer(&data);
    for (name, cases) in golden()["published"].as_object().unwrap() {
        let folder = data.join("model_configs").join(name);
        let template = ChatTemplate::load(&folder).unwrap().unwrap();
        let template = template.on(TODAY).unwrap();
        assert_eq!(check(&template, cases, Some(&tokenizer)), 7, "{name}");
    }
}

#[test]
fn a_template_that_asks_for_the_date_gets_todays_or_the_one_that_was_set() {
    let source = "{{ strftime_now('%Y-%m-%d') }}";
    let template = || ChatTemplate::new(PathBuf::from("x"), source.into(), &serde_json::Map::new());
    let today = template()
        .render(&[], &ChatContext::default(), false)
        .unwrap();
    assert!(
        today.len() == 10 && today.as_str() > "2026-01-01",
        "{today}"
    );
    let set = template().on("1999-12-31").unwrap();
    assert_eq!(
        set.render(&[], &ChatContext::default(), false).unwrap(),
        "1999-12-31"
    );
    assert!(template().on("yesterday").is_err());
}

#[test]
fn a_template_is_found_in_either_file_and_a_broken_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let load = || ChatTemplate::load(folder.path());
    assert!(load().unwrap().is_none());
    let config = folder.path().join("tokenizer_config.json");
    let named = r#"{"bos_token": "<b>", "chat_template": [{"name": "rag", "template": "no"},
        {"name": "default", "template": "{{ bos_token }}yes"}]}"#;
    std::fs::write(&config, named).unwrap();
    assert_eq!(
        load()
            .unwrap()
            .unwrap()
            .render(&[], &ChatContext::default(), false)
            .unwrap(),
        "<b>yes"
    );
    std::fs::write(
        folder.path().join("chat_template.jinja"),
        "{{ bos_token }}own",
    )
    .unwrap();
    assert_eq!(
        load()
            .unwrap()
            .unwrap()
            .render(&[], &ChatContext::default(), false)
            .unwrap(),
        "<b>own"
    );
    std::fs::write(folder.path().join("chat_template.jinja"), "{% if %}").unwrap();
    let error = load()
        .unwrap()
        .unwrap()
        .render(&[], &ChatContext::default(), false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("chat_template.jinja") && error.contains("syntax"),
        "{error}"
    );
    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    std::fs::write(&config, "{").unwrap();
    assert!(load().is_err());
}
