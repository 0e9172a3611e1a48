//! What stands beside `tokenizer.json`: names of special tokens, the chat template, what ends a text.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::special::Special;
use super::vocabulary::{Kind, Vocabulary};
use super::{MODEL, MODELS, TokenizerError, unknown_model};
use crate::Metadata;

const TEMPLATE: &str = "tokenizer.chat_template";
const TEMPLATES: &str = "tokenizer.chat_templates";
/// Control tokens that end a text or a turn wherever they are in a vocabulary. Files name one or two of those that a model stops at.
const ENDS: [&str; 14] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<turn|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "[EOT]",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "<end_of_utterance>",
];

/// The content of `tokenizer_config.json`: texts of the special tokens, whether texts get them, the greatest length and the chat template,
/// or a list of them where the file has several.
///
/// # Errors
///
/// As [`tokenizer_json`](super::tokenizer_json).
pub fn tokenizer_config(metadata: &Metadata) -> Result<Map<String, Value>, TokenizerError> {
    let (vocabulary, special) = read(metadata)?;
    let mut config = Map::new();
    for (name, id) in [
        ("bos_token", special.bos),
        ("eos_token", special.eos),
        ("unk_token", special.unk),
        ("pad_token", special.pad),
        ("sep_token", special.sep),
        ("mask_token", special.mask),
    ] {
        if let Some(text) = id.and_then(|id| vocabulary.text(id)) {
            config.insert(name.to_owned(), text.into());
        }
    }
    config.insert("add_bos_token".to_owned(), special.add_bos.into());
    config.insert("add_eos_token".to_owned(), special.add_eos.into());
    config.insert("clean_up_tokenization_spaces".to_owned(), false.into());
    if metadata.contains("general.architecture") {
        let key = format!("{}.context_length", metadata.text("general.architecture")?);
        if metadata.contains(&key) {
            config.insert("model_max_length".to_owned(), metadata.u64(&key)?.into());
        }
    }
    if let Some(template) = template(metadata)? {
        config.insert("chat_template".to_owned(), template);
    }
    // The class that takes `tokenizer.json` as it is; those of the families would build it anew.
    config.insert(
        "tokenizer_class".to_owned(),
        "PreTrainedTokenizerFast".into(),
    );
    Ok(config)
}

/// The content of `generation_config.json`: the ids of the tokens that end a text, that stand before one and that fill up a batch.
///
/// What ends a text is what the file names and, as in llama.cpp, control tokens that are known to.
///
/// # Errors
///
/// As [`tokenizer_json`](super::tokenizer_json).
pub fn generation_config(metadata: &Metadata) -> Result<Map<String, Value>, TokenizerError> {
    let (vocabulary, special) = read(metadata)?;
    let mut config = Map::new();
    if let Some(bos) = special.bos {
        config.insert("bos_token_id".to_owned(), bos.into());
    }
    let named = [special.eos, special.eot, special.eom];
    let mut ends: Vec<u64> = named.into_iter().flatten().map(u64::from).collect();
    ends.extend(ENDS.iter().filter_map(|text| {
        let (id, kind) = vocabulary.find(text)?;
        (kind == Kind::Control).then_some(id as u64)
    }));
    // The file's own come first.
    let mut seen = Vec::new();
    ends.retain(|id| {
        !seen.contains(id) && {
            seen.push(*id);
            true
        }
    });
    match ends.as_slice() {
        [] => None,
        [one] => config.insert("eos_token_id".to_owned(), json!(one)),
        several => config.insert("eos_token_id".to_owned(), json!(several)),
    };
    if let Some(pad) = special.pad {
        config.insert("pad_token_id".to_owned(), pad.into());
    }
    Ok(config)
}

fn read(metadata: &Metadata) -> Result<(Vocabulary<'_>, Special), TokenizerError> {
    let model = metadata.text(MODEL)?;
    if !MODELS.contains(&model) {
        return Err(unknown_model(model));
    }
    let vocabulary = Vocabulary::read(metadata)?;
    let special = Special::read(metadata, &vocabulary)?;
    Ok((vocabulary, special))
}

/// The template, or all of them with their names.
fn template(metadata: &Metadata) -> Result<Option<Value>, TokenizerError> {
    let default = match metadata.contains(TEMPLATE) {
        true => Some(metadata.text(TEMPLATE)?),
        false => None,
    };
    if !metadata.contains(TEMPLATES) {
        return Ok(default.map(Value::from));
    }
    let named = |name: &str, text: &str| json!({ "name": name, "template": text });
    let mut all: Vec<Value> = default
        .map(|text| named("default", text))
        .into_iter()
        .collect();
    // A name that is listed again and again would copy its template as often.
    let mut seen = HashSet::new();
    let names = metadata.texts(TEMPLATES)?;
    for name in names.iter().filter(|name| seen.insert(*name)) {
        all.push(named(name, metadata.text(&format!("{TEMPLATE}.{name}"))?));
    }
    Ok((!all.is_empty()).then(|| all.into()))
}
