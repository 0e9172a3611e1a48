//! The tokenizer of a model folder, in the keys of the metadata.
//!
//! What was written is read again, and must be the tokenizer that was given: the same tokens under the same ids, the same merges, the
//! same words, the same tokens before and behind a text.

use peft_format::file::input::TOKENIZER_LIMIT;
use serde_json::Value as Json;

use super::given::{Given, Kind};
use super::{ExportError, HfFiles};
use crate::GgufWriter;
use crate::tokenizer::tokenizer_json;

/// Bytes that a row without a token takes at least, in a `tokenizer.json` and in memory.
const ROW: u64 = 64;
/// Special tokens by their names in `tokenizer_config.json` and their keys.
const SPECIAL: [(&str, &str); 6] = [
    ("bos_token", "bos_token_id"),
    ("eos_token", "eos_token_id"),
    ("unk_token", "unknown_token_id"),
    ("pad_token", "padding_token_id"),
    // So it is spelled in files.
    ("sep_token", "seperator_token_id"),
    ("mask_token", "mask_token_id"),
];

/// Writes what the files say of the tokenizer, with a token for each of so many rows.
pub(super) fn describe(
    files: HfFiles<'_>,
    rows: u32,
    writer: &mut GgufWriter,
) -> Result<(), ExportError> {
    ExportError::refuse_large("vocab_size", rows, ROW, TOKENIZER_LIMIT)?;
    let given = Given::read(files.tokenizer)?;
    let tokens = given.tokens(rows)?;
    put(writer, "model", given.kind.name())?;
    match given.kind {
        Kind::Bytes(rule) => {
            put(writer, "pre", rule)?;
            let merges: Vec<String> = (given.merges.iter())
                .map(|[left, right]| format!("{left} {right}"))
                .collect();
            put(writer, "merges", merges)?;
        }
        Kind::Scored { prefix, .. } => {
            put(writer, "pre", "default")?;
            put(writer, "scores", given.scores(&tokens))?;
            put(writer, "add_space_prefix", prefix)?;
        }
    }
    let types: Vec<i32> = tokens.iter().map(|(_, kind)| kind.id()).collect();
    let texts: Vec<String> = tokens.into_iter().map(|(text, _)| text).collect();
    put(writer, "tokens", texts)?;
    put(writer, "token_type", types)?;
    for (name, key) in SPECIAL {
        let token = files.about_tokenizer.get(name);
        let text = token.and_then(|token| token.as_str().or_else(|| token["content"].as_str()));
        if let Some(id) = text.and_then(|text| given.ids.get(text)) {
            put(writer, key, *id)?;
        }
    }
    let (before, behind) = given.around()?;
    put(writer, "add_bos_token", before)?;
    put(writer, "add_eos_token", behind)?;
    template(files, writer)?;
    given.compare(&tokenizer_json(writer.metadata())?, rows)
}

fn put(
    writer: &mut GgufWriter,
    key: &str,
    value: impl Into<crate::Value>,
) -> Result<(), ExportError> {
    Ok(writer.insert(&format!("tokenizer.ggml.{key}"), value)?)
}

/// The chat template, or all of them with their names.
fn template(files: HfFiles<'_>, writer: &mut GgufWriter) -> Result<(), ExportError> {
    const KEY: &str = "tokenizer.chat_template";
    let about = files.about_tokenizer.get("chat_template");
    let mut named = Vec::new();
    match (files.template, about) {
        (Some(text), _) => writer.insert(KEY, text)?,
        (None, Some(Json::String(text))) => writer.insert(KEY, text.as_str())?,
        (None, Some(Json::Array(all))) => {
            for one in all {
                let name = one["name"].as_str().unwrap_or_default();
                let text = one["template"].as_str().unwrap_or_default();
                if name == "default" {
                    writer.insert(KEY, text)?;
                } else {
                    writer.insert(&format!("{KEY}.{name}"), text)?;
                    named.push(name);
                }
            }
        }
        (None, _) => {}
    }
    if !named.is_empty() {
        writer.insert("tokenizer.chat_templates", named)?;
    }
    Ok(())
}
