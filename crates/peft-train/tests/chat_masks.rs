//! What is learnt of conversations, prompts and completions, against TRL (tools/golden/chat_masks.py): token ids and masks.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

mod golden_tokenizer;

use std::path::{Path, PathBuf};

use golden_tokenizer::of_chats;
use peft_train::data::{
    ChatContext, ChatTemplate, ReadOptions, RowLength, RowOptions, TextTokenizer, TokenRow,
    TokenRows, read_table, table_rows,
};
use serde_json::{Map, Value, json};

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat_masks.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn template(source: &Value) -> ChatTemplate {
    let fields = json!({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"});
    let fields: Map<String, Value> = serde_json::from_value(fields).unwrap();
    ChatTemplate::new(
        PathBuf::from("template"),
        source.as_str().unwrap().into(),
        &fields,
    )
}

/// The rows of a file with this one line.
fn rows(line: &Value, chat: &ChatTemplate, tokenizer: &TextTokenizer, all: bool) -> TokenRows {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    std::fs::write(&path, format!("{line}\n")).unwrap();
    let table = read_table(&path, &ReadOptions::default()).unwrap();
    let options = RowOptions {
        length: RowLength::default(),
        end: tokenizer.inner().token_to_id("</s>"),
        packing: None,
        train_on_prompt: all,
    };
    table_rows(&table, tokenizer, Some(chat), options).unwrap()
}

/// Compares what is learnt. TRL's twin for Qwen 2.5 learns the line end of the header, which the template itself writes to ask for an answer.
fn assert_mask(row: &TokenRow, learnt: &Value, qwen: bool, tokenizer: &TextTokenizer, case: &str) {
    let mut expected: Vec<bool> = serde_json::from_value(learnt.clone()).unwrap();
    expected[0] = false; // Nothing precedes the first token.
    let of_header = |at: usize| {
        let (id, next) = (row.ids[at], row.learnt.get(at + 1));
        qwen && next == Some(&true) && tokenizer.text(&[id]).unwrap() == "\n"
    };
    let differ: Vec<usize> = (0..expected.len())
        .filter(|at| expected[*at] != row.learnt[*at] && !of_header(*at))
        .collect();
    assert!(
        differ.is_empty(),
        "{case}: {differ:?}, {expected:?}, {:?}",
        row.learnt
    );
}

#[test]
fn conversations_render_and_mask_as_in_trl_with_and_without_marks_of_the_template() {
    let (golden, tokenizer) = (golden(), of_chats());
    let (mut masked, mut refused) = (0, 0);
    for (name, of) in golden["templates"].as_object().unwrap() {
        for case in of["cases"].as_array().unwrap() {
            for source in ["template", "twin"] {
                let chat = template(&of[source]);
                let context = ChatContext {
                    tools: case["tools"].clone(),
                    ..ChatContext::default()
                };
                let messages = case["messages"].as_array().unwrap();
                let Some(text) = case["text"].as_str() else {
                    let outcome = chat.render(messages, &context, false);
                    assert!(outcome.is_err(), "{name} {source}: {outcome:?}");
                    refused += 1;
                    continue;
                };
                let asked = chat.render(messages, &context, true).unwrap();
                assert_eq!(
                    (asked.as_str(), source != "template"),
                    (
                        case["asked"].as_str().unwrap_or(&asked),
                        source != "template"
                    )
                );
                assert_eq!(
                    chat.render(messages, &context, false).unwrap(),
                    text,
                    "{name} {source}"
                );
                let Some(learnt) = case.get("learnt") else {
                    continue;
                };
                masked += 1;
                let tools = context.tools.to_string();
                let line = json!({"messages": messages, "tools": tools});
                let row = rows(&line, &chat, &tokenizer, false).rows.remove(0);
                assert_eq!(Value::from(row.ids.clone()), case["ids"], "{name} {source}");
                let qwen = (name.as_str(), source) == ("qwen2_5", "template");
                assert_mask(&row, learnt, qwen, &tokenizer, &format!("{name} {source}"));
                let all = rows(&line, &chat, &tokenizer, true).rows.remove(0);
                assert_eq!(all.targets(), row.ids.len() - 1);
            }
        }
    }
    assert!(
        masked >= 60 && refused >= 2,
        "{masked} masks, {refused} refusals"
    );
}

#[test]
fn prompts_and_completions_are_joined_and_masked_as_in_trl() {
    let (golden, tokenizer) = (golden(), of_chats());
    let chat = template(&golden["prompts_template"]);
    let prompts = golden["prompts"].as_array().unwrap();
    assert!(prompts.len() >= 5);
    for case in prompts {
        let line = json!({"prompt": case["prompt"], "completion": case["completion"]});
        let found = rows(&line, &chat, &tokenizer, false);
        assert_eq!(
            Value::from(found.rows[0].ids.clone()),
            case["ids"],
            "{line}"
        );
        assert_eq!(
            Value::from(found.rows[0].learnt.clone()),
            case["learnt"],
            "{line}"
        );
    }
    let joined = rows(
        &json!({"prompt": "The mess", "completion": "ages"}),
        &chat,
        &tokenizer,
        false,
    );
    assert!(
        !joined.account.remarks.is_empty(),
        "a token of both is said"
    );
}

#[test]
fn sharegpt_and_messages_of_other_forms_give_the_same_rows() {
    let (golden, tokenizer) = (golden(), of_chats());
    let chat = template(&golden["templates"]["chatml"]["template"]);
    let said = |line: Value| rows(&line, &chat, &tokenizer, false);
    let plain = json!([{"role": "system", "content": "Brief."}, {"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "And?"}, {"role": "assistant", "content": "No."}]);
    let expected = said(json!({"messages": plain}));
    assert_eq!(expected.account.remarks, vec![]);
    let share = json!([{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Yes."}, {"from": "human", "value": "And?"},
        {"from": "gpt", "value": "No."}]);
    let parts = |text: &str| json!([{"type": "text", "text": text}]);
    let mut in_parts = plain.clone();
    in_parts[1]["content"] = parts("Hi.");
    for line in [
        json!({"conversations": share, "system": "Brief."}),
        json!({"conversations": share.to_string(), "system": "Brief.", "id": 7}),
        json!({"messages": in_parts}),
    ] {
        let found = said(line.clone());
        assert_eq!(found.rows, expected.rows, "{line}");
        assert_eq!(
            found.account.unused_columns.len(),
            usize::from(line.get("id").is_some())
        );
    }
    let mut unweighted = plain;
    unweighted[2]["weight"] = 0.into();
    let found = said(json!({"messages": unweighted}));
    assert!(found.rows[0].targets() < expected.rows[0].targets());
    assert_eq!(found.account.remarks[0].count, 1);
    let settings = json!({"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes."}],
        "chat_template_kwargs": {"shout": true}});
    let loud =
        json!("{% for m in messages %}{{ m.content | upper if shout else m.content }}{% endfor %}");
    let found = rows(&settings, &template(&loud), &tokenizer, true);
    assert_eq!(tokenizer.text(&found.rows[0].ids).unwrap(), "HI.YES.");
}

#[test]
fn rows_without_an_answer_are_dropped_and_counted() {
    let (golden, tokenizer) = (golden(), of_chats());
    let chat = template(&golden["templates"]["chatml"]["template"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let answered = json!({"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes."}]});
    let asked = json!({"messages": [{"role": "user", "content": "Hi."}]});
    std::fs::write(&path, format!("{answered}\n{asked}\n")).unwrap();
    let table = read_table(&path, &ReadOptions::default()).unwrap();
    let options = RowOptions {
        length: RowLength::default(),
        end: None,
        packing: None,
        train_on_prompt: false,
    };
    let found = table_rows(&table, &tokenizer, Some(&chat), options).unwrap();
    assert_eq!((found.rows.len(), found.account.dropped_rows()), (1, 1));
    assert_eq!(found.account.dropped[0].places, ["line 2"]);
}

#[test]
fn what_a_template_does_not_write_is_counted() {
    let tokenizer = of_chats();
    let source = json!(
        "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}"
    );
    let messages = json!([{"role": "system", "content": "Brief."}, {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Yes."}]);
    let tools = json!([{"type": "function", "function": {"name": "weather"}}]);
    let line = json!({"messages": messages, "tools": tools});
    let found = rows(&line, &template(&source), &tokenizer, false);
    let remarks: Vec<&str> = found
        .account
        .remarks
        .iter()
        .map(|remark| remark.what.as_str())
        .collect();
    assert_eq!(remarks.len(), 2, "{remarks:?}");
    assert!(
        remarks[0].contains("messages") && remarks[1].contains("tools"),
        "{remarks:?}"
    );
}
