//! Published adapters on random bases of their shapes: `peft validate --model` says valid exactly when merging and evaluating succeed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::fs;
use std::path::Path;

use binary::usable;
use burn::tensor::Device;
use peft_core::testing::outside::data;
use peft_models::hf::{ModelConfig, export, write_model};
use peft_models::{init_causal_lm, init_encoder};
use serde_json::{Value, json};

/// Width of the MLPs, which few published adapters touch.
const INNER: usize = 48;
/// Words of the tokenizer.
const WORDS: usize = 60;

/// Every folder of published adapters, where they are at hand.
fn adapters() -> Option<Vec<String>> {
    let entries = fs::read_dir(data("adapters")?).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut folders: Vec<String> = paths
        .filter(|path| path.is_dir())
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    folders.sort();
    Some(folders)
}

/// Configurations of the shapes that the adapters were made for.
fn bases() -> [(&'static str, Value); 4] {
    let bert = json!({"model_type": "bert", "architectures": ["BertModel"], "vocab_size": WORDS, "hidden_size": 768,
        "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": INNER, "max_position_embeddings": 64,
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0});
    let distilbert = json!({"model_type": "distilbert", "architectures": ["DistilBertModel"], "vocab_size": WORDS, "dim": 768,
        "n_layers": 6, "n_heads": 12, "hidden_dim": INNER, "max_position_embeddings": 64, "activation": "gelu", "pad_token_id": 0});
    let gpt2 = json!({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": WORDS, "n_positions": 64,
        "n_embd": 768, "n_layer": 12, "n_head": 12, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
        "pad_token_id": 0});
    let llama = json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": WORDS, "hidden_size": 2048,
        "intermediate_size": INNER, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
        "hidden_act": "silu", "pad_token_id": 0});
    [
        ("bert", bert),
        ("distilbert", distilbert),
        ("gpt2", gpt2),
        ("llama", llama),
    ]
}

/// A random model with a tokenizer of words: `w0 w1 ..`.
fn write_base(root: &Path, name: &str, config: &Value) -> String {
    let (dir, device) = (root.join(name), Device::flex());
    let config = ModelConfig::parse(Path::new("config.json"), &config.to_string()).unwrap();
    let tensors = if name.contains("bert") {
        let loaded = init_encoder(config.clone(), 1, &device).unwrap();
        export(&loaded.model, &loaded.names)
    } else {
        let loaded = init_causal_lm(config.clone(), 1, &device).unwrap();
        export(&loaded.model, &loaded.names)
    };
    write_model(&dir, &config, &tensors).unwrap();
    usable::write_words(&dir, WORDS);
    dir.to_str().unwrap().to_owned()
}

/// Whether an adapter is one of a language model, as far as its configuration says.
fn is_causal(adapter: &str) -> bool {
    let config = fs::read_to_string(Path::new(adapter).join("adapter_config.json"));
    let config: Option<Value> = config
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok());
    config.is_none_or(|config| config["task_type"] != "SEQ_CLS")
}

#[test]
fn valid_is_what_can_be_merged_and_evaluated() {
    let Some(adapters) = adapters() else { return };
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let [texts, classes, out] = ["texts.jsonl", "classes.csv", "out"].map(|name| root.join(name));
    fs::write(&texts, "{\"text\": \"w5 w8 w13 w21\"}\n").unwrap();
    fs::write(&classes, "text,label\nw5 w8 w13,0\nw3 w1 w4,1\n").unwrap();
    let [texts, classes, out] = [&texts, &classes, &out].map(|path| path.to_str().unwrap());
    let (mut valid, mut invalid) = (0, 0);
    for (name, config) in bases() {
        let model = write_base(root, name, &config);
        // Each reading of the largest base takes seconds; what other families make of an adapter, the other bases say.
        let is_tried = |adapter: &&str| name != "llama" || adapter.contains("llama");
        let folders = adapters.iter().map(String::as_str).filter(is_tried);
        let folders: Vec<&str> = folders.collect();
        let (_, verdicts) = binary::verdicts(&[&["--model", &model], &folders[..]].concat());
        for (adapter, verdict) in folders.into_iter().zip(&verdicts) {
            let task = match is_causal(adapter) && !name.contains("bert") {
                true => ("causal-lm", texts),
                false => ("seq-cls", classes),
            };
            let (works, said) = usable::works(&model, adapter, task, out);
            assert_eq!(
                verdict["valid"], works,
                "{adapter} on {name}: {verdict:#}\n{said}"
            );
            if works { valid += 1 } else { invalid += 1 }
        }
        fs::remove_dir_all(root.join(name)).unwrap();
    }
    assert!(valid >= 15 && invalid >= 45, "{valid} valid, {invalid} not");
}
