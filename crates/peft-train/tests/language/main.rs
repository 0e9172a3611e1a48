//! Language models: which tokens are learnt, how texts share rows, and that neither changes what a text teaches.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

mod lengths;

use std::path::Path;

use burn::tensor::{Device, activation};
use peft_core::Pass;
use peft_models::{CausalBatch, CausalLm, ModelConfig, init_causal_lm};
use peft_train::data::{
    ChatTemplate, ReadOptions, RowLength, RowOptions, TextTokenizer, TokenRow, TokenRows,
    TokenizeOptions, read_table, table_rows, text_rows,
};
use peft_train::task::{CausalTask, Prompts, Task, perplexity};
use serde_json::json;

/// One token per word, `[A]` before every text that asks for special tokens.
fn tokenizer(folder: &Path) -> TextTokenizer {
    let words = ["?", "[A]", "a", "b", "c", "d", "e", "f", "###", "Response:"];
    let vocab: serde_json::Map<_, _> = words
        .iter()
        .enumerate()
        .map(|(id, word)| ((*word).to_owned(), json!(id)))
        .collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[A]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[A]": {"id": "[A]", "ids": [1], "tokens": ["[A]"]}}
        },
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": vocab}
    });
    std::fs::write(folder.join("tokenizer.json"), file.to_string()).unwrap();
    let options = TokenizeOptions {
        max_length: 64,
        pad_id: None,
        vocab_size: Some(words.len()),
    };
    TextTokenizer::load(folder, &options)
        .unwrap()
        .unlimited()
        .unwrap()
}

const END: u32 = 0;

fn options(max_length: usize) -> RowOptions {
    RowOptions {
        length: RowLength::of(max_length),
        end: Some(END),
        packing: None,
        train_on_prompt: false,
    }
}

fn rows(lines: &[serde_json::Value], options: RowOptions) -> Result<TokenRows, String> {
    rows_with(lines, options, None)
}

fn rows_with(
    lines: &[serde_json::Value],
    options: RowOptions,
    chat: Option<&ChatTemplate>,
) -> Result<TokenRows, String> {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(folder.path());
    let path = folder.path().join("data.jsonl");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let table = read_table(&path, &ReadOptions::default()).unwrap();
    table_rows(&table, &tokenizer, chat, options).map_err(|error| error.to_string())
}

/// Learnt tokens of each row.
fn learnt(rows: &TokenRows) -> Vec<Vec<u32>> {
    let of = |row: &TokenRow| {
        let pairs = row.ids.iter().zip(&row.learnt);
        pairs
            .filter(|(_, learnt)| **learnt)
            .map(|(id, _)| *id)
            .collect()
    };
    rows.rows.iter().map(of).collect()
}

#[test]
fn completions_alone_are_learnt_unless_the_prompt_is_asked_for() {
    let lines = [
        json!({"prompt": "a b", "completion": " c d"}),
        json!({"prompt": "a ", "completion": "e"}),
    ];
    let found = rows(&lines, options(16)).unwrap();
    let ids: Vec<_> = found.rows.iter().map(|row| row.ids.clone()).collect();
    assert_eq!(ids, [vec![1, 2, 3, 4, 5, END], vec![1, 2, 6, END]]);
    assert_eq!(learnt(&found), [vec![4, 5, END], vec![6, END]]);
    let all = RowOptions {
        train_on_prompt: true,
        ..options(16)
    };
    let found = rows(&lines, all).unwrap();
    assert_eq!(learnt(&found)[0], [2, 3, 4, 5, END], "all but the first");
}

#[test]
fn plain_texts_share_rows_as_segments_and_long_ones_are_cut() {
    let lines = [
        json!({"text": "a b"}),
        json!({"text": "c"}),
        json!({"text": "d e f a b c d"}),
    ];
    let found = rows(&lines, options(7)).unwrap();
    assert_eq!(found.account.cut_rows(), 0);
    assert_eq!(found.rows[0].ids, [1, 2, 3, END, 1, 4, END]);
    assert_eq!(found.rows[0].segments, [1, 1, 1, 1, 2, 2, 2]);
    assert_eq!(
        found.rows[0].learnt,
        [false, true, true, true, false, true, true]
    );
    assert_eq!(found.rows[1].ids, [1, 5, 6, 7, 2, 3, 4]);
    assert_eq!(found.rows[2].ids, [5, END]);
    let apart = RowOptions {
        packing: Some(false),
        ..options(16)
    };
    assert_eq!(rows(&lines, apart).unwrap().rows.len(), 3);
}

#[test]
fn instructions_get_the_prompt_of_alpaca() {
    let lines = [json!({"instruction": "a", "input": "", "output": "b c"})];
    let found = rows(&lines, options(64)).unwrap();
    assert_eq!(learnt(&found), [vec![3, 4, END]]);
    let ids = &found.rows[0].ids;
    assert_eq!(ids.iter().filter(|id| **id == 8).count(), 2, "two headings");
    assert_eq!(ids[ids.len() - 4], 9, "the prompt ends with Response:");
    let with_input = [json!({"instruction": "a", "input": "d", "output": "b"})];
    let found = rows(&with_input, options(64)).unwrap();
    assert!(found.rows[0].ids.contains(&5));
}

#[test]
fn cells_that_cannot_be_used_are_named_with_their_line() {
    let lines = [
        json!({"prompt": "a", "completion": "b"}),
        json!({"prompt": "a", "completion": " "}),
        json!({"prompt": 3, "completion": "b"}),
    ];
    let error = rows(&lines, options(6)).unwrap_err();
    for part in ["line 2", "line 3", "found a number"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = rows(&[json!({"label": 1})], options(6)).unwrap_err();
    assert!(error.contains("prompt and completion"), "{error}");
}

#[test]
fn a_text_that_ends_in_the_end_token_gets_no_second_one() {
    let texts = ["a b", "a b ?", "a b?"].map(|text| json!({"text": text}));
    let apart = RowOptions {
        packing: Some(false),
        ..options(16)
    };
    let found = rows(&texts, apart).unwrap();
    for row in &found.rows {
        assert_eq!(row.ids, [1, 2, 3, END]);
    }
}

#[test]
fn a_plain_file_becomes_rows_of_one_length() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(folder.path());
    let path = folder.path().join("text.txt");
    std::fs::write(&path, "a b c\nd e f a b c d").unwrap();
    let found = text_rows(&path, &tokenizer, RowLength::of(4)).unwrap();
    let ids: Vec<_> = found.rows.iter().map(|row| row.ids.clone()).collect();
    // Each begins as the tokenizer begins a text.
    assert_eq!(ids, [[1, 2, 3, 4], [1, 5, 6, 7], [1, 2, 3, 4]]);
    assert_eq!(found.account.cut_rows(), 1);
    let whole = text_rows(&path, &tokenizer, RowLength::of(12)).unwrap();
    assert_eq!(whole.rows.len(), 1);
    assert_eq!(whole.rows[0].ids, [1, 2, 3, 4, 5, 6, 7, 2, 3, 4, 5]);
    std::fs::write(&path, "").unwrap();
    assert!(text_rows(&path, &tokenizer, RowLength::of(12)).is_err());
}

fn model(device: &Device) -> CausalLm {
    let config = json!({
        "model_type": "llama", "vocab_size": 10, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 32, "initializer_range": 0.3
    });
    let config = ModelConfig::parse(Path::new("config.json"), &config.to_string()).unwrap();
    init_causal_lm(config, 3, device).unwrap().model
}

fn task(train: Vec<TokenRow>) -> CausalTask {
    CausalTask {
        train,
        valid: None,
        eval_batch_size: 2,
        prompts: None,
    }
}

fn loss(task: &CausalTask, examples: &[usize], device: &Device) -> f64 {
    let loss = task.loss(&model(device), examples, device, &mut Pass::eval());
    f64::from(loss.unwrap().into_scalar::<f32>())
}

#[test]
fn the_loss_is_a_mean_over_tokens_however_texts_share_rows_and_batches() {
    let device = Device::flex();
    let lines = [
        json!({"text": "a b c d e"}),
        json!({"text": "f"}),
        json!({"text": "c a"}),
    ];
    let packed = task(rows(&lines, options(16)).unwrap().rows);
    let apart = RowOptions {
        packing: Some(false),
        ..options(16)
    };
    let apart = task(rows(&lines, apart).unwrap().rows);
    assert_eq!((packed.train.len(), apart.train.len()), (1, 3));
    let together = loss(&packed, &[0], &device);
    assert!((loss(&apart, &[0, 1, 2], &device) - together).abs() < 1e-5);
    // The mean of the batches, each counted by its tokens.
    let (first, rest) = (loss(&apart, &[0], &device), loss(&apart, &[1, 2], &device));
    let weights = (apart.weight(&[0]), apart.weight(&[1, 2]));
    assert_eq!(weights, (6.0, 5.0));
    assert!(((6.0 * first + 5.0 * rest) / 11.0 - together).abs() < 1e-5);
    assert!((first - rest).abs() > 1e-3, "no accident");
    let scores = perplexity(&model(&device), &apart.train, 2).unwrap();
    assert!((scores.loss - together).abs() < 1e-5);
    assert!((scores.metrics["perplexity"] - together.exp()).abs() < 1e-3);
}

#[test]
fn the_loss_is_that_of_the_learnt_tokens_alone() {
    let device = Device::flex();
    let lines = [json!({"prompt": "a b c", "completion": " d"})];
    let task = task(rows(&lines, options(16)).unwrap().rows);
    let ids = task.train[0].ids.clone();
    assert_eq!(task.train[0].targets(), 2);
    let batch = CausalBatch::left_padded(std::slice::from_ref(&ids), &device).unwrap();
    let logits = model(&device).logits(&batch, None, &mut Pass::eval());
    let scores: Vec<f32> = activation::log_softmax(logits, 2)
        .into_data()
        .iter::<f32>()
        .collect();
    let of = |at: usize| f64::from(scores[(at - 1) * 10 + ids[at] as usize]);
    let expected = -(of(4) + of(5)) / 2.0;
    assert!((loss(&task, &[0], &device) - expected).abs() < 1e-5);
}

#[test]
fn conversations_need_a_template_and_messages() {
    let messages = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
    let error = rows(&[json!({"messages": messages})], options(16)).unwrap_err();
    assert!(error.contains("chat_template.jinja"), "{error}");
}

#[test]
fn conversations_that_the_template_refuses_are_all_named_with_their_line() {
    let source = "{% if messages|length > 2 %}{{ raise_exception('two messages') }}{% endif %}a b";
    let fields = serde_json::Map::new();
    let chat = ChatTemplate::new("template".into(), source.into(), &fields);
    let message = |role: &str| json!({"role": role, "content": "a"});
    let many = json!({"messages": [message("user"), message("assistant"), message("user")]});
    let two = json!({"messages": [message("user"), message("assistant")]});
    let lines = [many.clone(), two, many];
    let error = rows_with(&lines, options(16), Some(&chat)).unwrap_err();
    for part in [
        "line 1: the chat template refuses",
        "line 3:",
        "two messages",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_prompt_without_tokens_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let with_start = tokenizer(folder.path());
    let prompts = |tokenizer| Prompts::new(vec!["a".into(), String::new()], tokenizer, 3, vec![]);
    assert_eq!(
        prompts(with_start).unwrap().longest(),
        5,
        "[A] a and three more"
    );
    let path = folder.path().join("tokenizer.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["post_processor"] = serde_json::Value::Null;
    std::fs::write(&path, file.to_string()).unwrap();
    let options = TokenizeOptions {
        max_length: 64,
        pad_id: None,
        vocab_size: None,
    };
    let plain = TextTokenizer::load(folder.path(), &options).unwrap();
    let error = prompts(plain).unwrap_err().to_string();
    assert!(
        error.contains("example 1") && error.contains("no tokens"),
        "{error}"
    );
}
