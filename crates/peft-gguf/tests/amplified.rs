//! Small files from which much would follow: each is refused with the way out, or costs what the file has.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::error::Error;

use common::golden;
use peak_alloc::PeakAlloc;
use peft_gguf::export::{ExportError, HfFiles, ModelFile};
use peft_gguf::hf::HfTensors;
use peft_gguf::tokenizer::{self, TokenizerError};
use peft_gguf::{Array, GgmlType, GgufError, GgufModel, GgufWriter, Metadata, Value};
use serde_json::{Map, Value as Json, json};

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

type Entry<'a> = (&'a str, Value);

fn texts(texts: impl IntoIterator<Item = String>) -> Value {
    Value::Array(Array::Text(texts.into_iter().collect()))
}

/// The metadata of a file with these entries.
fn metadata(entries: Vec<Entry<'_>>) -> Metadata {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let mut writer = GgufWriter::new();
    for (key, value) in entries {
        writer.insert(key, value).unwrap();
    }
    writer.write(&path, |_, _| Ok::<_, GgufError>(())).unwrap();
    GgufModel::open(&path).unwrap().metadata().clone()
}

/// The metadata of a tokenizer with scores.
fn scored(tokens: Vec<String>) -> Metadata {
    let count = tokens.len();
    metadata(vec![
        ("tokenizer.ggml.model", "llama".into()),
        ("tokenizer.ggml.tokens", texts(tokens)),
        ("tokenizer.ggml.scores", vec![-1.0_f32; count].into()),
        ("tokenizer.ggml.add_bos_token", false.into()),
    ])
}

/// The most memory that something takes, in MiB.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    PEAK.reset_peak_usage();
    let before = PEAK.current_usage();
    let made = work();
    let used = PEAK.peak_usage().saturating_sub(before);
    (made, used >> 20)
}

/// One after the other: they measure memory.
#[test]
fn what_follows_from_a_small_file_is_small_or_refused() {
    merges_of_runs_of_one_letter();
    a_template_that_is_listed_again_and_again();
    sizes_of_which_tables_are_made();
}

/// Half a megabyte of tokens, of which half a million pairs are one again, each as long as a token.
fn merges_of_runs_of_one_letter() {
    let metadata = scored((1..1024).map(|length| "a".repeat(length)).collect());
    let (made, mib) = peak(|| tokenizer::tokenizer_json(&metadata));
    let error = made.unwrap_err();
    assert!(matches!(error, TokenizerError::Merges { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("PEFT_LIMIT_TOKENIZER=512M"), "{text}");
    assert!(mib < 128, "{mib} MiB");
}

fn a_template_that_is_listed_again_and_again() {
    let metadata = metadata(vec![
        ("tokenizer.ggml.model", "llama".into()),
        ("tokenizer.ggml.tokens", texts(["a".to_owned()])),
        ("tokenizer.ggml.add_bos_token", false.into()),
        (
            "tokenizer.chat_templates",
            texts((0..10_000).map(|_| "t".to_owned())),
        ),
        ("tokenizer.chat_template.t", "x".repeat(100_000).into()),
    ]);
    let (config, mib) = peak(|| tokenizer::tokenizer_config(&metadata).unwrap());
    assert_eq!(config["chat_template"].as_array().unwrap().len(), 1);
    assert!(mib < 8, "{mib} MiB");
}

fn sizes_of_which_tables_are_made() {
    let tokenizer = json!({
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
    });
    let config = |field: &str, size: u64| -> Map<String, Json> {
        let mut config = json!({
            "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 4, "head_dim": 8, "vocab_size": 12, "max_position_embeddings": 64,
            "rope_scaling": {
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
        });
        config[field] = size.into();
        config.as_object().unwrap().clone()
    };
    let export = |config: &Map<String, Json>| {
        let files = HfFiles {
            config,
            tokenizer: &tokenizer,
            about_tokenizer: &Map::new(),
            template: None,
        };
        ModelFile::of_folder(files, GgmlType::F32)
    };
    export(&config("vocab_size", 12)).unwrap();
    for (field, variable) in [
        ("vocab_size", "PEFT_LIMIT_TOKENIZER=512M"),
        ("head_dim", "PEFT_LIMIT_CONFIG=64M"),
    ] {
        let (made, mib) = peak(|| export(&config(field, u64::from(u32::MAX))));
        let error = made.unwrap_err();
        assert!(matches!(error, ExportError::TooLarge { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(field) && text.contains(variable), "{text}");
        assert!(mib < 8, "{mib} MiB");
    }
}

#[test]
fn the_alignment_of_a_file_is_not_taken_over() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.gguf");
    let model = HfTensors::open(&golden("hf/llama_tied.gguf"))?;
    let mut writer = GgufWriter::new();
    for (key, value) in model.model().metadata().iter() {
        if key != "general.alignment" {
            writer.insert(key, value.clone())?;
        }
    }
    writer.insert("general.alignment", 1_u32 << 31)?;
    writer.write(&path, |_, _| Ok::<_, GgufError>(()))?;
    // Without tensors it is a file of some kilobytes, and each of those to come would be filled up to two gigabytes.
    let mut file = ModelFile::like(&HfTensors::open(&path)?, GgmlType::F32)?;
    let again = folder.path().join("again.gguf");
    file.declare([("model.norm.weight", &[16_u64][..])])?;
    file.write(&again, |_| Ok::<_, Failed>(vec![1.0; 16]))?;
    assert!(std::fs::metadata(&again)?.len() < 1 << 20);
    assert_eq!(
        HfTensors::open(&again)?.values("model.norm.weight")?,
        [1.0; 16]
    );
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Export(#[from] ExportError),
}
