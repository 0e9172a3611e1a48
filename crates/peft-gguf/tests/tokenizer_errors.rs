//! Tokenizers that contradict themselves, and rules that are not known.

use peft_gguf::tokenizer::{self, TokenizerError};
use peft_gguf::{Array, GgufError, GgufModel, GgufWriter, Metadata, Value};
use tokenizers::Tokenizer;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<(), Failure>;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";

fn texts(texts: &[&str]) -> Value {
    Value::Array(Array::Text(texts.iter().collect()))
}

/// Metadata of a tokenizer of four tokens, with entries in place of its own; `None` leaves one out.
fn with(model: &str, changes: &[(&str, Option<Value>)]) -> Result<Metadata, Failure> {
    let own = [
        ("tokenizer.ggml.model", Value::Text(model.to_owned())),
        ("tokenizer.ggml.pre", Value::Text("gpt-2".to_owned())),
        (TOKENS, texts(&["<unk>", "a", "b", "ab"])),
        (TYPES, Value::Array(Array::I32(vec![2, 1, 1, 1]))),
        (
            SCORES,
            Value::Array(Array::F32(vec![0.0, -1.0, -2.0, -3.0])),
        ),
        (MERGES, texts(&["a b"])),
        ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
    ];
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tiny.gguf");
    let mut writer = GgufWriter::new();
    let changed = |key: &str| changes.iter().any(|(other, _)| *other == key);
    for (key, value) in own.into_iter().filter(|(key, _)| !changed(key)) {
        writer.insert(key, value)?;
    }
    for (key, value) in changes {
        if let Some(value) = value {
            writer.insert(key, value.clone())?;
        }
    }
    writer.write(&path, |_, _| Ok::<_, GgufError>(()))?;
    Ok(GgufModel::open(&path)?.metadata().clone())
}

fn refused(model: &str, changes: &[(&str, Option<Value>)]) -> Result<TokenizerError, Failure> {
    match tokenizer::tokenizer_json(&with(model, changes)?) {
        Err(error) => Ok(error),
        Ok(json) => Err(format!("not refused: {json}").into()),
    }
}

#[test]
fn every_kind_is_read() -> Outcome {
    for model in ["gpt2", "llama", "gemma4"] {
        let json = tokenizer::tokenizer_json(&with(model, &[])?)?;
        let found: Tokenizer = serde_json::from_value(json)?;
        let prefix = [("tokenizer.ggml.add_space_prefix", Some(Value::Bool(false)))];
        assert_eq!(found.token_to_id("ab"), Some(3), "{model}");
        let json = tokenizer::tokenizer_json(&with(model, &prefix)?)?;
        let found: Tokenizer = serde_json::from_value(json)?;
        assert_eq!(found.encode("abab", true)?.get_ids(), [3, 3], "{model}");
    }
    Ok(())
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() -> Outcome {
    let error = refused("gpt2", &[("tokenizer.ggml.pre", Some("kimi-k2".into()))])?.to_string();
    assert!(
        error.contains("`kimi-k2`") && error.contains("llama-bpe"),
        "{error}"
    );
    for model in ["bert", "t5", "rwkv"] {
        let error = refused(model, &[])?.to_string();
        assert!(
            error.contains(model) && error.contains("gpt2, llama, gemma4"),
            "{error}"
        );
    }
    let error = refused("gpt2", &[("tokenizer.ggml.pre", None)])?;
    assert!(matches!(error, TokenizerError::Metadata(_)), "{error}");
    Ok(())
}

#[test]
fn every_known_rule_is_read_by_the_library() -> Outcome {
    let error = refused("gpt2", &[("tokenizer.ggml.pre", Some("no".into()))])?;
    let TokenizerError::Unknown { known, .. } = error else {
        return Err(error.into());
    };
    for name in known.split(", ") {
        let changes = [("tokenizer.ggml.pre", Some(name.into()))];
        let json = tokenizer::tokenizer_json(&with("gpt2", &changes)?)?;
        let found: Tokenizer = serde_json::from_value(json)?;
        assert_eq!(found.encode("ab", true)?.get_ids(), [3], "{name}");
    }
    Ok(())
}

#[test]
fn arrays_of_other_lengths_are_refused() -> Outcome {
    let types = Value::Array(Array::I32(vec![1; 3]));
    let scores = Value::Array(Array::F32(vec![0.0; 5]));
    let cases = [
        ("gpt2", TYPES, types, "must have 4 values"),
        ("llama", SCORES, scores, "found 5"),
    ];
    for (model, key, value, says) in cases {
        let error = refused(model, &[(key, Some(value))])?;
        assert!(matches!(error, TokenizerError::Length { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(key) && error.contains(says), "{error}");
    }
    Ok(())
}

#[test]
fn ids_beyond_the_tokens_are_refused() -> Outcome {
    for key in ["bos", "eos", "unknown", "padding", "eot"] {
        let key = format!("tokenizer.ggml.{key}_token_id");
        let error = refused("llama", &[(&key, Some(4_u32.into()))])?.to_string();
        assert_eq!(
            error,
            format!("`{key}` must be the id of one of 4 tokens, found 4")
        );
    }
    let add = ("tokenizer.ggml.add_eos_token", Some(true.into()));
    let error = refused("gpt2", &[add])?;
    assert!(matches!(error, TokenizerError::NoToken { .. }), "{error}");
    Ok(())
}

#[test]
fn tokens_scores_types_and_merges_that_mean_nothing_are_refused() -> Outcome {
    let error = refused("gpt2", &[(TOKENS, Some(texts(&["a", "b", "ab", "a"])))])?.to_string();
    assert!(error.contains("\"a\" at 0 and 3"), "{error}");
    let error = refused(
        "gpt2",
        &[(TYPES, Some(Value::Array(Array::I32(vec![1, 1, 7, 1]))))],
    )?;
    assert!(error.to_string().ends_with("at 2, found 7"), "{error}");
    let nan = Value::Array(Array::F32(vec![0.0, f32::NAN, 0.0, 0.0]));
    let error = refused("llama", &[(SCORES, Some(nan))])?;
    assert!(error.to_string().ends_with("at 1, found NaN"), "{error}");
    for merge in ["", " ", "a", "ab", "a ", " a", "b a", "a b ", "a  b", "é"] {
        let error = refused("gpt2", &[(MERGES, Some(texts(&["a b", merge])))])?;
        let TokenizerError::Item { key, index, .. } = &error else {
            return Err(error.into());
        };
        assert_eq!((*key, *index), (MERGES, 1), "{error}");
    }
    let charsmap = Value::Array(Array::U8(vec![1, 2]));
    let key = "tokenizer.ggml.precompiled_charsmap";
    let error = refused("llama", &[(key, Some(charsmap))])?;
    assert!(
        matches!(error, TokenizerError::Unsupported { .. }),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_token_that_would_take_hours_to_cut_is_refused() -> Outcome {
    let long = "a".repeat(100_000);
    let tokens = texts(&["<unk>", "a", "b", &long]);
    let error = refused("llama", &[(TOKENS, Some(tokens))])?.to_string();
    for part in [
        "100000 bytes at 3",
        "at most 1024",
        "PEFT_LIMIT_GGUF_TOKEN=2K",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    Ok(())
}

#[test]
fn rows_without_a_text_are_named_and_runs_of_spaces_need_no_merges() -> Outcome {
    let metadata = with("gpt2", &[(TOKENS, Some(texts(&["", "a", "b", "ab"])))])?;
    let json = tokenizer::tokenizer_json(&metadata)?;
    assert_eq!(json["model"]["vocab"]["[EMPTY_0]"], 0);
    let changes = [
        (TOKENS, Some(texts(&["\u{2581}", "a", "  ", "\u{2581}a"]))),
        (TYPES, Some(Value::Array(Array::I32(vec![1, 1, 4, 1])))),
        (MERGES, Some(texts(&["\u{2581} \u{2581}", "\u{2581} a"]))),
    ];
    let json = tokenizer::tokenizer_json(&with("gemma4", &changes)?)?;
    let found: Tokenizer = serde_json::from_value(json)?;
    assert_eq!(found.encode("  a a", true)?.get_ids(), [2, 1, 3]);
    Ok(())
}
