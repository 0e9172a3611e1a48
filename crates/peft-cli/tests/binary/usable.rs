//! Bases of made-up words, and whether an adapter can be used on one.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{merge, peft};

/// Puts a tokenizer of so many words, `w0 w1 ..`, beside a model.
pub(crate) fn write_words(model: &Path, words: usize) {
    let words: Map<String, Value> = (0..words).map(|id| (format!("w{id}"), id.into())).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"}
    });
    fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// Whether the adapter can be merged into the model, in the folder `out`, and evaluated on it by a task and its data; and what was said.
pub(crate) fn works(
    model: &str,
    adapter: &str,
    (task, data): (&str, &str),
    out: &str,
) -> (bool, String) {
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let merged = merge(model, adapter, out, |merge| {
        peft(&[merge, &["--overwrite"]].concat())
    });
    if !merged.status.success() {
        return (false, said(&merged));
    }
    let eval = [
        "eval",
        "--task",
        task,
        "--model",
        model,
        "--adapter",
        adapter,
    ];
    let scored = peft(&[&eval[..], &["--data", data, "--json"]].concat());
    (scored.status.success(), said(&scored))
}
