//! A tiny Llama as a folder and as GGUF files, with data.

use std::fs;
use std::path::Path;

use peft_gguf::hf::{Architecture, Layout, names};
use peft_gguf::{GgmlType, GgufError, GgufWriter};
use peft_models::hf::{FloatDtype, TensorArchive};
use serde_json::Value;

use super::decoder::write_fresh;
use super::{peft_in, words};

pub(crate) const HEADS: u64 = 4;
pub(crate) const KV_HEADS: u64 = 2;
const CONFIG: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 420, "hidden_size": 64,
    "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "max_position_embeddings": 64, "initializer_range": 0.2, "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0}"#;
pub(crate) const TEMPLATE: &str =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";

/// A folder with a tiny Llama, data, and files made of it.
pub(crate) struct Place {
    root: tempfile::TempDir,
    cache: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("model");
        write_fresh(&model, CONFIG);
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-train/tests/golden");
        fs::copy(
            tests.join("chat_tokenizer.json"),
            model.join("tokenizer.json"),
        )
        .unwrap();
        let tokens =
            serde_json::json!({"eos_token": "</s>", "bos_token": "<s>", "chat_template": TEMPLATE});
        fs::write(model.join("tokenizer_config.json"), tokens.to_string()).unwrap();
        let line = |at: usize| format!("{{\"text\": \"the film number {at} was good\"}}\n");
        for (name, rows) in [("train", 0..24), ("valid", 24..32)] {
            let text: String = rows.map(line).collect();
            fs::write(root.path().join(format!("{name}.jsonl")), text).unwrap();
        }
        let cache = root.path().join("cache").to_str().unwrap().to_owned();
        Self { root, cache }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    /// The JSON that a command prints, with `@name` for paths.
    pub(crate) fn run(&self, line: &str) -> Value {
        let output = self.output(&format!("{line} --json"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn refused(&self, line: &str) -> String {
        let output = self.output(line);
        assert!(!output.status.success(), "{line}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn output(&self, line: &str) -> std::process::Output {
        self.output_in(line, &[])
    }

    /// The same with further environment variables.
    pub(crate) fn output_in(&self, line: &str, variables: &[(&str, &str)]) -> std::process::Output {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.path(name),
            None => word.to_owned(),
        };
        let args: Vec<String> = line.split(' ').map(word).collect();
        let variables = [&[("PEFT_CACHE", self.cache.as_str())][..], variables].concat();
        peft_in(&words(&args), &variables)
    }

    /// Writes the model as a GGUF file whose matrices are of `kind`.
    pub(crate) fn write_gguf(&self, name: &str, kind: GgmlType) {
        let folder = self.root.path().join("model");
        let archive = TensorArchive::open(&folder).unwrap();
        let mut writer = GgufWriter::new();
        about_model(&mut writer);
        about_tokenizer(&mut writer, &folder.join("tokenizer.json"));
        let mut tensors = std::collections::BTreeMap::new();
        for (hf, entry) in archive.entries() {
            let name = names::to_gguf(Architecture::Llama, hf).unwrap();
            let shape: Vec<u64> = entry.shape().iter().map(|size| *size as u64).collect();
            let values = archive.read_f32(entry, FloatDtype::F32).unwrap();
            let layout = Layout::of(Architecture::Llama, &name, HEADS, KV_HEADS);
            let values = layout.to_gguf(values, &shape).unwrap();
            let kind = if shape.len() == 1 {
                GgmlType::F32
            } else {
                kind
            };
            writer.declare(&name, &shape, kind).unwrap();
            tensors.insert(name, values);
        }
        let path = self.root.path().join(name);
        let written: Result<(), GgufError> =
            writer.write(&path, |info, out| out.write_values(&tensors[info.name()]));
        written.unwrap();
    }
}

fn about_model(writer: &mut GgufWriter) {
    writer.insert("general.architecture", "llama").unwrap();
    for (key, value) in [
        ("block_count", 2),
        ("context_length", 64),
        ("embedding_length", 64),
        ("feed_forward_length", 96),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("rope.dimension_count", 16),
        ("vocab_size", 420_u32),
    ] {
        writer.insert(&format!("llama.{key}"), value).unwrap();
    }
    writer.insert("llama.rope.freq_base", 10_000.0_f32).unwrap();
    let eps = "llama.attention.layer_norm_rms_epsilon";
    writer.insert(eps, 1e-5_f32).unwrap();
}

fn about_tokenizer(writer: &mut GgufWriter, path: &Path) {
    let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let vocabulary = json["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![String::new(); vocabulary.len()];
    for (token, id) in vocabulary {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    // 1 is a normal token, 3 one of control.
    let mut types = vec![1_i32; tokens.len()];
    for added in json["added_tokens"].as_array().unwrap() {
        types[added["id"].as_u64().unwrap() as usize] = 3;
    }
    let merge = |merge: &Value| match merge.as_str() {
        Some(text) => text.to_owned(),
        None => format!(
            "{} {}",
            merge[0].as_str().unwrap(),
            merge[1].as_str().unwrap()
        ),
    };
    let merges = json["model"]["merges"].as_array().unwrap();
    let merges: Vec<String> = merges.iter().map(merge).collect();
    writer.insert("tokenizer.ggml.model", "gpt2").unwrap();
    writer.insert("tokenizer.ggml.pre", "gpt-2").unwrap();
    writer.insert("tokenizer.ggml.tokens", tokens).unwrap();
    writer.insert("tokenizer.ggml.token_type", types).unwrap();
    writer.insert("tokenizer.ggml.merges", merges).unwrap();
    writer.insert("tokenizer.ggml.bos_token_id", 0_u32).unwrap();
    writer.insert("tokenizer.ggml.eos_token_id", 1_u32).unwrap();
    writer
        .insert("tokenizer.ggml.add_bos_token", false)
        .unwrap();
    writer.insert("tokenizer.chat_template", TEMPLATE).unwrap();
}

pub(crate) const TRAIN: &str = "train --task causal-lm --train @train.jsonl --valid @valid.jsonl --targets all-linear --max-steps 6 --batch-size 4 --lr 1e-2";
