//! Tokenizing: truncation and padding of the run, special tokens and type ids of the file, and broken files.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

use peft_core::testing::outside::data;
use peft_train::TrainError;
use peft_train::data::{Example, Target, TextTokenizer, TokenizeOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A BERT tokenizer of nine words which, like MiniLM's, fixes truncation and padding itself.
fn bert() -> Value {
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "special": true, "single_word": false,
               "lstrip": false, "rstrip": false, "normalized": false})
    };
    let token = |id: &str, number: u32| json!({"id": id, "ids": [number], "tokens": [id]});
    let part = |id: &str, kind: &str, type_id: u32| json!({kind: {"id": id, "type_id": type_id}});
    json!({
        "version": "1.0",
        "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 3, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(1, "[CLS]"), special(2, "[SEP]"), special(3, "[PAD]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [part("[CLS]", "SpecialToken", 0), part("A", "Sequence", 0),
                       part("[SEP]", "SpecialToken", 0)],
            "pair": [part("[CLS]", "SpecialToken", 0), part("A", "Sequence", 0),
                     part("[SEP]", "SpecialToken", 0), part("B", "Sequence", 1),
                     part("[SEP]", "SpecialToken", 1)],
            "special_tokens": {"[CLS]": token("[CLS]", 1), "[SEP]": token("[SEP]", 2)}
        },
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100,
                  "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "the": 4, "good": 5,
                            "bad": 6, "film": 7, "##s": 8}}
    })
}

fn folder(tokenizer: &Value) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder
}

fn options(max_length: usize) -> TokenizeOptions {
    TokenizeOptions {
        max_length,
        pad_id: None,
        vocab_size: None,
    }
}

fn load(tokenizer: &Value, max_length: usize) -> TextTokenizer {
    TextTokenizer::load(folder(tokenizer).path(), &options(max_length)).unwrap()
}

fn example(text: &str, pair: Option<&str>) -> Example {
    Example {
        text: text.to_string(),
        pair: pair.map(str::to_string),
        target: Target::None,
    }
}

#[test]
fn the_run_decides_about_truncation_and_padding_not_the_file() {
    let tokenizer = load(&bert(), 7);
    let texts = [
        example("The good films", None),
        example(&"bad ".repeat(50), None),
    ];
    let found = tokenizer.encode(&texts).unwrap();
    assert_eq!(found.examples[0].ids, [1, 4, 5, 7, 8, 2]);
    assert_eq!(found.examples[1].ids, [1, 6, 6, 6, 6, 6, 2]);
    assert_eq!(found.truncated, 1);
    assert_eq!(tokenizer.pad_id(), 3);
}

#[test]
fn pairs_have_type_ids_and_lose_tokens_of_the_longer_text_first() {
    let tokenizer = load(&bert(), 9);
    let found = tokenizer
        .encode(&[example("good", Some("the bad film"))])
        .unwrap();
    assert_eq!(found.examples[0].ids, [1, 5, 2, 4, 6, 7, 2]);
    assert_eq!(found.examples[0].type_ids, [0, 0, 0, 1, 1, 1, 1]);
    let long = example("good good", Some("bad bad bad bad bad bad bad bad"));
    let found = tokenizer.encode(&[long]).unwrap();
    assert_eq!(found.examples[0].ids, [1, 5, 5, 2, 6, 6, 6, 6, 2]);
    assert_eq!(found.truncated, 1);
    let both = example(&"good ".repeat(9), Some(&"bad ".repeat(9)));
    let found = load(&bert(), 5).encode(&[both]).unwrap();
    assert_eq!(found.examples[0].ids, [1, 5, 2, 6, 2]);
}

#[test]
fn a_length_without_room_for_text_is_refused() {
    for max_length in [0, 3, 4] {
        let error = TextTokenizer::load(folder(&bert()).path(), &options(max_length)).unwrap_err();
        let expected = "max_length: expected at least 5 (3 special tokens and text)";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn many_examples_keep_their_order_and_their_tokens() {
    let tokenizer = load(&bert(), 64);
    let texts: Vec<Example> = (0..3000)
        .map(|i| example(&"film ".repeat(1 + i % 50), None))
        .collect();
    let found = tokenizer.encode(&texts).unwrap();
    assert_eq!(found.examples.len(), 3000);
    assert!(
        found
            .examples
            .iter()
            .enumerate()
            .all(|(i, e)| e.ids.len() == 3 + i % 50)
    );
    assert_eq!(found, tokenizer.encode(&texts).unwrap());
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let small = TokenizeOptions {
        vocab_size: Some(7),
        pad_id: Some(0),
        max_length: 8,
    };
    let tokenizer = TextTokenizer::load(folder(&bert()).path(), &small).unwrap();
    assert_eq!(tokenizer.pad_id(), 0);
    assert_eq!(
        tokenizer.encode(&[example("bad", None)]).unwrap().examples[0].ids,
        [1, 6, 2]
    );
    let error = tokenizer.encode(&[example("film", None)]).unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::TokenId {
                id: 7,
                limit: 7,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_text_that_becomes_no_tokens_is_an_error() {
    let mut bare = bert();
    bare["post_processor"] = Value::Null;
    let error = load(&bare, 8).encode(&[example("bad", None), example("\u{200b}", None)]);
    assert!(
        matches!(error, Err(TrainError::NoTokens { index: 1, .. })),
        "{error:?}"
    );
}

#[test]
fn a_missing_or_broken_tokenizer_names_its_path() {
    let empty = TempDir::new().unwrap();
    let error = TextTokenizer::load(empty.path(), &options(8)).unwrap_err();
    assert!(matches!(error, TrainError::Read { .. }), "{error:?}");
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    let mut no_model = bert();
    no_model["model"] = json!({"type": "Nonsense"});
    for content in [
        "".to_string(),
        "{}".to_string(),
        "\u{0}".to_string(),
        no_model.to_string(),
    ] {
        std::fs::write(empty.path().join("tokenizer.json"), content).unwrap();
        let error = TextTokenizer::load(empty.path(), &options(8)).unwrap_err();
        assert!(matches!(error, TrainError::Tokenizer { .. }), "{error:?}");
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }
}

#[test]
fn the_tokenizer_of_a_real_llama_adds_its_start_and_round_trips() {
    let Some(model) = data("models/story-llama-0.65m") else {
        return;
    };
    let tokenizer = TextTokenizer::load(&model, &options(256)).unwrap();
    let text = "Once upon a time there was a little boy named Ben.";
    let found = tokenizer.encode(&[example(text, None)]).unwrap();
    let back = tokenizer
        .inner()
        .decode(&found.examples[0].ids, true)
        .unwrap();
    assert_eq!(back, format!("<|start_story|> {text}"));
}
