//! Models of transformers written as GGUF files: what is read of them is what was given, and what a file cannot say is refused.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::golden;
use peft_gguf::export::{ExportError, HfFiles, ModelFile};
use peft_gguf::hf::{HfError, HfTensors};
use peft_gguf::{GgmlType, GgufError, GgufModel, tokenizer};
use serde_json::{Map, Value, json};

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Read(#[from] HfError),
}

/// The models of which every part can be written.
const MODELS: [&str; 16] = [
    "gemma",
    "gemma2",
    "gemma3",
    "gpt2",
    "granite",
    "llama_biases",
    "llama_llama3",
    "llama_q8_0",
    "llama_tied",
    "llama_untied",
    "mistral",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
];

fn opened(name: &str) -> HfTensors {
    HfTensors::open(&golden(&format!("hf/{name}.gguf"))).unwrap()
}

/// A byte-level tokenizer of so many tokens.
fn small_tokenizer(rows: usize) -> Value {
    let vocabulary: Map<String, Value> = (0..rows - 2)
        .map(|id| (format!("t{id}"), id.into()))
        .collect();
    let added =
        json!([{"id": rows - 2, "content": "<|end|>", "special": true, "normalized": false}]);
    json!({
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "ByteLevel", "trim_offsets": false},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    })
}

fn written(model: &HfTensors, file: &mut ModelFile, path: &Path) -> HfTensors {
    let tensors: Vec<(&str, &[u64])> = model.iter().map(|one| (one.name(), one.shape())).collect();
    file.declare(tensors).unwrap();
    file.write(path, |name| -> Result<_, Failed> {
        Ok(model.values(name)?)
    })
    .unwrap();
    HfTensors::open(path).unwrap()
}

fn values(model: &HfTensors) -> BTreeMap<String, (Vec<u64>, Vec<f32>)> {
    let one = |tensor: &peft_gguf::hf::HfTensor| {
        let values = model.values(tensor.name()).unwrap();
        (tensor.name().to_owned(), (tensor.shape().to_vec(), values))
    };
    model.iter().map(one).collect()
}

#[test]
fn a_model_folder_comes_back_with_its_configuration_and_its_values() {
    let dir = tempfile::tempdir().unwrap();
    for name in MODELS {
        let model = opened(name);
        let config = model.config().unwrap();
        let rows = config["vocab_size"].as_u64().unwrap() as usize;
        let about = Map::from_iter([
            ("eos_token".to_owned(), json!({"content": "<|end|>"})),
            ("chat_template".to_owned(), json!("{{ messages }}")),
        ]);
        let files = HfFiles {
            config: &config,
            tokenizer: &small_tokenizer(rows),
            about_tokenizer: &about,
            template: None,
        };
        let mut file = ModelFile::of_folder(files, GgmlType::F32).unwrap();
        let path = dir.path().join(format!("{name}.gguf"));
        let again = written(&model, &mut file, &path);
        let mut expected = config.clone();
        expected["eos_token_id"] = json!(rows - 2);
        for key in ["bos_token_id", "pad_token_id"] {
            expected[key] = Value::Null;
        }
        assert_eq!(again.config().unwrap(), expected, "{name}");
        assert_eq!(values(&again), values(&model), "{name}");
        let metadata = again.model().metadata();
        let ends = tokenizer::generation_config(metadata).unwrap();
        assert_eq!(ends["eos_token_id"], rows - 2, "{name}");
        let about = tokenizer::tokenizer_config(metadata).unwrap();
        assert_eq!(about["chat_template"], "{{ messages }}", "{name}");
        assert_eq!(metadata.u32("general.file_type").unwrap(), 0);
    }
}

#[test]
fn a_file_like_another_has_its_metadata_and_other_formats() {
    let dir = tempfile::tempdir().unwrap();
    for name in MODELS.into_iter().chain(["phi3_long"]) {
        let model = opened(name);
        for kind in [GgmlType::F32, GgmlType::BF16, GgmlType::Q8_0] {
            let mut file = ModelFile::like(&model, kind).unwrap();
            let path = dir.path().join(format!("{name}-{kind}.gguf"));
            let again = written(&model, &mut file, &path);
            assert_eq!(again.config().unwrap(), model.config().unwrap(), "{name}");
            assert_eq!(again.ignored(), model.ignored());
            let (found, expected) = (values(&again), values(&model));
            for (tensor, (shape, values)) in &found {
                let (of, expected) = &expected[tensor];
                assert_eq!(shape, of, "{name}: {tensor}");
                let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let most = match kind {
                    GgmlType::F32 => 0.0,
                    _ => largest / 100.0,
                };
                let differences = values.iter().zip(expected).map(|(a, b)| (a - b).abs());
                assert!(differences.fold(0.0, f32::max) <= most, "{name}: {tensor}");
            }
            let metadata = again.model().metadata();
            for (key, value) in model.model().metadata().iter() {
                let own = matches!(key, "general.file_type" | "general.quantization_version");
                assert!(own || metadata.get(key) == Some(value), "{name}: {key}");
            }
        }
    }
}

/// Tokenizers as their own files have them: every one of them leads to a file and back.
#[test]
fn tokenizers_come_back() {
    for name in [
        "gpt-2",
        "llama-bpe",
        "qwen2",
        "smollm",
        "spm",
        "spm-no-prefix",
    ] {
        let model = GgufModel::open(&golden(&format!("tokenizers/{name}.gguf"))).unwrap();
        let given = tokenizer::tokenizer_json(model.metadata()).unwrap();
        let about = tokenizer::tokenizer_config(model.metadata()).unwrap();
        let rows = model
            .metadata()
            .texts("tokenizer.ggml.tokens")
            .unwrap()
            .len();
        let export = |rows: usize| {
            let files = HfFiles {
                config: &config_of(rows),
                tokenizer: &given,
                about_tokenizer: &about,
                template: None,
            };
            ModelFile::of_folder(files, GgmlType::F16)
        };
        // A table with rows to spare, as many models have.
        for rows in [rows, rows + 7] {
            let file = export(rows);
            assert!(file.is_ok(), "{name}: {}", file.unwrap_err());
        }
        let error = export(rows - 1).unwrap_err();
        assert!(error.to_string().contains("no row"), "{name}: {error}");
    }
}

fn config_of(rows: usize) -> Map<String, Value> {
    let config = json!({
        "model_type": "llama", "vocab_size": rows, "hidden_size": 32, "num_attention_heads": 2,
        "intermediate_size": 64, "num_hidden_layers": 1, "max_position_embeddings": 64,
    });
    config.as_object().unwrap().clone()
}

fn refused(change: impl FnOnce(&mut Map<String, Value>, &mut Value)) -> String {
    let (mut config, mut given) = (config_of(20), small_tokenizer(20));
    change(&mut config, &mut given);
    let about = Map::new();
    let files = HfFiles {
        config: &config,
        tokenizer: &given,
        about_tokenizer: &about,
        template: None,
    };
    let error = ModelFile::of_folder(files, GgmlType::F16);
    error.expect_err("it cannot be written").to_string()
}

#[test]
fn what_a_file_cannot_say_is_refused_by_name() {
    type Change = fn(&mut Map<String, Value>, &mut Value);
    let cases: [(&str, Change); 12] = [
        ("`model_type` must be one of llama", |config, _| {
            config["model_type"] = json!("gemma9");
        }),
        (
            "`hidden_size` must be a size in a GGUF file, found nothing",
            |config, _| {
                config.remove("hidden_size");
            },
        ),
        ("`rope_scaling` must be linear", |config, _| {
            config.insert(
                "rope_scaling".into(),
                json!({"rope_type": "longrope", "factor": 4.0}),
            );
        }),
        ("`use_sliding_window` must be false in", |config, _| {
            config["model_type"] = json!("qwen2");
            config.insert("use_sliding_window".into(), json!(true));
            config.insert("sliding_window".into(), json!(16));
        }),
        ("a model of the type \"Unigram\"", |_, given| {
            given["model"]["type"] = json!("Unigram");
        }),
        ("its way to cut texts into words", |_, given| {
            given["pre_tokenizer"]["add_prefix_space"] = json!(true);
        }),
        ("its way to cut texts into words", |_, given| {
            given["normalizer"] = json!({"type": "Lowercase"});
        }),
        ("a merge that is no pair", |_, given| {
            given["model"]["merges"] = json!(["t1t2"]);
        }),
        ("its way to prepare texts", |_, given| {
            given["pre_tokenizer"] = json!({"type": "Whitespace"});
        }),
        ("the post-processor BertProcessing", |_, given| {
            given["post_processor"] = json!({"type": "BertProcessing"});
        }),
        ("the id -1", |_, given| {
            given["model"]["vocab"]["t3"] = json!(-1)
        }),
        ("dropout of merges", |_, given| {
            given["model"]["dropout"] = json!(0.1);
        }),
    ];
    for (expected, change) in cases {
        let error = refused(change);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn tensors_without_a_name_and_other_vocabularies_are_refused() {
    let model = opened("llama_tied");
    let mut file = ModelFile::like(&model, GgmlType::F16).unwrap();
    let error = file.declare([("model.layers.0.mlp.experts.0.w1.weight", &[4, 4][..])]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("experts.0.w1.weight"), "{error}");
    let tokenizer = GgufModel::open(&golden("tokenizers/smollm.gguf")).unwrap();
    let given = tokenizer::tokenizer_json(tokenizer.metadata()).unwrap();
    let rows = tokenizer
        .metadata()
        .texts("tokenizer.ggml.tokens")
        .unwrap()
        .len();
    let about = Map::new();
    let config = config_of(rows);
    let files = HfFiles {
        config: &config,
        tokenizer: &given,
        about_tokenizer: &about,
        template: None,
    };
    let mut file = ModelFile::of_folder(files, GgmlType::F16).unwrap();
    let shape = [rows as u64 + 1, 32];
    let error = file.declare([("model.embed_tokens.weight", &shape[..])]);
    assert!(matches!(error.unwrap_err(), ExportError::Vocabulary { .. }));
}
