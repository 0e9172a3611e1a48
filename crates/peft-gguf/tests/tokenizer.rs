//! Tokenizers of GGUF files against the tokenizers that the files were made of.

use std::path::PathBuf;

use peft_gguf::{GgufModel, Metadata, tokenizer};
use serde_json::{Value, json};
use tokenizers::Tokenizer;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<(), Failure>;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/tokenizers")
        .join(name)
}

fn metadata(name: &str) -> Result<Metadata, Failure> {
    let model = GgufModel::open(&golden(&format!("{name}.gguf")))?;
    Ok(model.metadata().clone())
}

fn built(metadata: &Metadata) -> Result<Tokenizer, Failure> {
    let json = tokenizer::tokenizer_json(metadata)?;
    Ok(serde_json::from_value(json)?)
}

fn ids(value: &Value) -> Option<Vec<u32>> {
    let ids = value.as_array()?.iter();
    ids.map(|id| id.as_u64()?.try_into().ok()).collect()
}

/// Ids with and without what every text gets, and the text of the ids, are the original's.
fn compare(name: &str) -> Result<usize, Failure> {
    let expected: Value = serde_json::from_slice(&std::fs::read(golden("expected.json"))?)?;
    let tokenizer = built(&metadata(name)?)?;
    let texts = expected["texts"].as_array().ok_or("texts")?;
    let rows = expected["cases"][name].as_array().ok_or("cases")?;
    assert_eq!(texts.len(), rows.len());
    let mut compared = 0;
    for (text, row) in texts.iter().zip(rows).filter(|(_, row)| !row.is_null()) {
        let text = text.as_str().ok_or("a text")?;
        for (key, special) in [("ids", true), ("plain", false)] {
            let found = tokenizer.encode(text, special)?.get_ids().to_vec();
            assert_eq!(Some(found), ids(&row[key]), "{name}, {key}: {text:?}");
        }
        let ids = ids(&row["ids"]).ok_or("ids")?;
        let decoded = tokenizer.decode(&ids, true)?;
        assert_eq!(decoded, row["text"], "{name}, text of {ids:?}");
        compared += 1;
    }
    Ok(compared)
}

#[test]
fn byte_level_tokenizers_give_the_ids_of_their_originals() -> Outcome {
    for name in ["gpt-2", "llama-bpe", "qwen2", "smollm"] {
        assert_eq!(compare(name)?, 28, "{name}");
    }
    Ok(())
}

#[test]
fn sentence_piece_models_give_the_ids_of_sentence_piece() -> Outcome {
    for name in ["spm", "spm-no-prefix"] {
        assert_eq!(compare(name)?, 26, "{name}");
    }
    Ok(())
}

#[test]
fn texts_come_back() -> Outcome {
    let expected: Value = serde_json::from_slice(&std::fs::read(golden("expected.json"))?)?;
    // Qwen's tokenizers change the spelling of some characters.
    for name in ["gpt-2", "llama-bpe", "smollm", "spm", "spm-no-prefix"] {
        let tokenizer = built(&metadata(name)?)?;
        for text in expected["texts"].as_array().ok_or("texts")? {
            let text = text.as_str().ok_or("a text")?;
            // SentencePiece spells a space with this character, so that it comes back as one.
            if name.starts_with("spm") && (text.contains('\u{2581}') || text.contains("<|im_")) {
                continue;
            }
            let ids = tokenizer.encode(text, false)?.get_ids().to_vec();
            assert_eq!(tokenizer.decode(&ids, false)?, text, "{name}");
        }
    }
    Ok(())
}

#[test]
fn control_symbols_are_found_in_texts_of_sentence_piece_models() -> Outcome {
    let tokenizer = built(&metadata("spm")?)?;
    let encoding = tokenizer.encode("<|im_start|>hello<|im_end|>", true)?;
    let tokens = encoding.get_tokens();
    assert_eq!(tokens[..2], ["<s>", "<|im_start|>"]);
    assert!(tokens[2].starts_with('\u{2581}'), "{tokens:?}");
    assert_eq!(tokens.last().map(String::as_str), Some("<|im_end|>"));
    let ids = encoding.get_ids();
    assert_eq!(tokenizer.decode(ids, true)?, "hello");
    Ok(())
}

#[test]
fn the_files_beside_name_special_tokens_and_templates() -> Outcome {
    let llama = metadata("llama-bpe")?;
    let config = tokenizer::tokenizer_config(&llama)?;
    assert_eq!(
        Value::from(config),
        json!({
            "bos_token": "<|endoftext|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "add_bos_token": true,
            "add_eos_token": false,
            "clean_up_tokenization_spaces": false,
            "model_max_length": 2048,
            "chat_template": [
                { "name": "default", "template": "{{ messages }}" },
                { "name": "tool_use", "template": "{{ tools }}" },
            ],
            "tokenizer_class": "PreTrainedTokenizerFast",
        })
    );
    let generation = tokenizer::generation_config(&llama)?;
    let id = |text: &str| built(&llama).ok().and_then(|found| found.token_to_id(text));
    let (first, last) = (id("<|endoftext|>"), id("<|im_end|>"));
    assert_eq!(
        Value::from(generation),
        json!({ "bos_token_id": first, "eos_token_id": [last, first], "pad_token_id": first })
    );
    let generation = tokenizer::generation_config(&metadata("spm")?)?;
    let ends = &generation["eos_token_id"];
    assert_eq!(ends[0], 2, "{ends}");
    Ok(())
}

#[test]
fn the_section_of_a_template_adds_tokens_to_pairs_too() -> Outcome {
    let tokenizer = built(&metadata("spm")?)?;
    let encoding = tokenizer.encode(("a", "b"), true)?;
    let begins = encoding.get_ids().iter().filter(|id| **id == 1).count();
    assert_eq!(begins, 2);
    assert_eq!(encoding.get_type_ids().first(), Some(&0));
    assert_eq!(encoding.get_type_ids().last(), Some(&1));
    Ok(())
}
