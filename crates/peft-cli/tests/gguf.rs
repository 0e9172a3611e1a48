//! GGUF files as models: the same model as a folder and as a file gives the same bytes, packed ones nearly the same numbers.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::fs;
use std::path::Path;

use binary::contents::contents;
use binary::decoder::write_fresh;
use binary::{peft_in, words};
use peft_gguf::hf::{Architecture, Layout, names};
use peft_gguf::{GgmlType, GgufError, GgufFile, GgufWriter};
use peft_models::hf::{FloatDtype, TensorArchive};
use serde_json::Value;

const HEADS: u64 = 4;
const KV_HEADS: u64 = 2;
const CONFIG: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 420, "hidden_size": 64,
    "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "max_position_embeddings": 64, "initializer_range": 0.2, "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0}"#;
const TEMPLATE: &str =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";

/// A folder with a tiny Llama, data, and files made of it.
struct Place {
    root: tempfile::TempDir,
    cache: String,
}

impl Place {
    fn new() -> Self {
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

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    /// The JSON that a command prints, with `@name` for paths.
    fn run(&self, line: &str) -> Value {
        let output = self.output(&format!("{line} --json"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refused(&self, line: &str) -> String {
        let output = self.output(line);
        assert!(!output.status.success(), "{line}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn output(&self, line: &str) -> std::process::Output {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.path(name),
            None => word.to_owned(),
        };
        let args: Vec<String> = line.split(' ').map(word).collect();
        peft_in(&words(&args), &[("PEFT_CACHE", &self.cache)])
    }

    /// Writes the model as a GGUF file whose matrices are of `kind`.
    fn write_gguf(&self, name: &str, kind: GgmlType) {
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

const TRAIN: &str = "train --task causal-lm --train @train.jsonl --valid @valid.jsonl --targets all-linear --max-steps 6 --batch-size 4 --lr 1e-2";

#[test]
fn a_file_trains_as_the_folder_it_was_made_of() {
    let place = Place::new();
    place.write_gguf("tiny.gguf", GgmlType::F32);
    place.run(&format!("{TRAIN} --model @model --out @of-folder"));
    place.run(&format!("{TRAIN} --model @tiny.gguf --out @of-file"));
    let [folder, file] =
        ["of-folder", "of-file"].map(|name| contents(Path::new(&place.path(name))));
    let weights = "adapter_model.safetensors";
    assert!(folder[weights] == file[weights], "the adapters differ");
    let loss = |model: &str| {
        let line = format!(
            "eval --task causal-lm --model @{model} --adapter @of-file --data @valid.jsonl"
        );
        place.run(&line)["loss"].as_f64().unwrap()
    };
    assert_eq!(loss("model"), loss("tiny.gguf"));
    let said = |model: &str| {
        let line = format!(
            "generate --chat --model @{model} --adapter @of-file --prompt film --max-new-tokens 8"
        );
        place.run(&line)["answers"].clone()
    };
    assert_eq!(said("model"), said("tiny.gguf"));
    // Merged it is a folder of transformers', which needs the file no more.
    place.run("merge --model @tiny.gguf --adapter @of-file --out @merged");
    place.run("convert @of-file --to gguf --model @tiny.gguf --out @adapter.gguf");
    assert_adds_what_was_merged(&place);
    fs::remove_file(place.path("tiny.gguf")).unwrap();
    let merged = place.run("eval --task causal-lm --model @merged --data @valid.jsonl");
    let difference = merged["loss"].as_f64().unwrap() - loss("model");
    assert!(difference.abs() < 1e-4, "{difference}");
}

/// llama.cpp adds `alpha / rank * B A` to a weight of its file: that is the merged weight in the file's order of rows.
fn assert_adds_what_was_merged(place: &Place) {
    let [base, adapter] = ["tiny.gguf", "adapter.gguf"]
        .map(|name| GgufFile::open(Path::new(&place.path(name))).unwrap());
    let merged = TensorArchive::open(Path::new(&place.path("merged"))).unwrap();
    let alpha = adapter.metadata().f32("adapter.lora.alpha").unwrap();
    let mut checked = 0;
    for (hf, entry) in merged
        .entries()
        .filter(|(_, entry)| entry.shape().len() == 2)
    {
        let name = names::to_gguf(Architecture::Llama, hf).unwrap();
        let Ok(a) = adapter.values(&format!("{name}.lora_a")) else {
            assert!(hf.contains("embed_tokens"), "{hf}");
            continue;
        };
        let b = adapter.values(&format!("{name}.lora_b")).unwrap();
        let (d_out, d_in) = (entry.shape()[0], entry.shape()[1]);
        let rank = a.len() / d_in;
        let layout = Layout::of(Architecture::Llama, &name, HEADS, KV_HEADS);
        let values = merged.read_f32(entry, FloatDtype::F32).unwrap();
        let expected = layout
            .to_gguf(values, &[d_out as u64, d_in as u64])
            .unwrap();
        for (at, weight) in base.values(&name).unwrap().iter().enumerate() {
            let (row, column) = (at / d_in, at % d_in);
            let pairs = (0..rank).map(|k| b[row * rank + k] * a[k * d_in + column]);
            let found = weight + alpha / rank as f32 * pairs.sum::<f32>();
            assert!(
                (found - expected[at]).abs() < 1e-5,
                "{name}: {found} {}",
                expected[at]
            );
        }
        checked += 1;
    }
    assert_eq!(checked, 14);
}

/// A merged model as a file, from a base that is a folder and from one that is a file itself, is the merged folder.
#[test]
fn merged_models_are_files_that_answer_as_the_folder() {
    let place = Place::new();
    place.write_gguf("tiny.gguf", GgmlType::F32);
    place.run(&format!("{TRAIN} --model @model --out @run"));
    place.run("merge --model @model --adapter @run --out @merged");
    let loss = |model: &str| {
        let line = format!("eval --task causal-lm --model @{model} --data @valid.jsonl");
        place.run(&line)["loss"].as_f64().unwrap()
    };
    let expected = loss("merged");
    assert!((expected - loss("model")).abs() > 0.01, "the run changed nothing");
    let tokens = |model: &str| {
        let line = format!("generate --chat --model @{model} --prompt film --max-new-tokens 8");
        place.run(&line)["answers"].clone()
    };
    for base in ["model", "tiny.gguf"] {
        for (dtype, apart) in [("f32", 1e-4), ("bf16", 0.05), ("q8_0", 0.1), ("q4_k", 1.0)] {
            let out = format!("{base}-{dtype}");
            let merged = place.run(&format!(
                "merge --model @{base} --adapter @run --format gguf --dtype {dtype} --out @{out}"
            ));
            let difference = merged["largest_output_difference"].as_f64().unwrap();
            assert!(difference < apart, "{out}: {difference}");
            let file = format!("{out}/model.gguf");
            let found = loss(&file);
            assert!((found - expected).abs() < apart, "{out}: {found} {expected}");
            if dtype == "f32" {
                assert_eq!(tokens(&file), tokens("merged"));
            }
            let modelfile = fs::read_to_string(place.path(&format!("{out}/Modelfile"))).unwrap();
            assert!(modelfile.contains("FROM ./model.gguf\n"), "{modelfile}");
            assert!(modelfile.contains("PARAMETER stop \"</s>\""), "{modelfile}");
            let kind = match dtype {
                "f32" => GgmlType::F32,
                "bf16" => GgmlType::BF16,
                "q8_0" => GgmlType::Q8_0,
                // Rows of 64 and 96 values are no blocks of 256.
                _ => GgmlType::Q5_0,
            };
            let file = GgufFile::open(Path::new(&place.path(&file))).unwrap();
            let of = |name: &str| file.tensor(name).unwrap().kind();
            assert_eq!(of("blk.0.ffn_down.weight"), kind, "{out}");
            assert_eq!(of("blk.0.attn_norm.weight"), GgmlType::F32, "{out}");
            assert_eq!(file.metadata().text("tokenizer.chat_template").unwrap(), TEMPLATE);
        }
    }
    let error = place.refused("merge --model @model --adapter @run --dtype q4_0 --out @folder");
    assert!(error.contains("give --format gguf"), "{error}");
    assert!(!Path::new(&place.path("folder/config.json")).exists());
}

/// Rounded bases train, answer and merge; what is rounded says so, and a run goes on with the same rounding alone.
#[test]
fn rounded_bases_train_answer_and_merge() {
    let place = Place::new();
    let loss = |rest: &str| {
        let line = format!("eval --task causal-lm --model @model --data @valid.jsonl {rest}");
        place.run(line.trim())["loss"].as_f64().unwrap()
    };
    let (full, packed) = (loss(""), loss("--quantize nf4"));
    assert!(full != packed && (full - packed).abs() < 0.3, "{full} {packed}");
    assert_eq!(loss("--quantize f32"), full);
    let train = format!("{TRAIN} --model @model --quantize nf4 --out @run");
    let run = place.run(&train);
    let trained = run["final"]["scores"]["loss"].as_f64();
    let again = loss("--adapter @run --quantize nf4");
    if let Some(trained) = trained {
        assert!((trained - again).abs() < 1e-5, "{trained} {again}");
    }
    assert!(again < packed, "{again} {packed}");
    let error = place.refused(&format!("{TRAIN} --model @model --quantize q8_0 --out @run --resume"));
    assert!(error.contains("quantize"), "{error}");
    for (quantize, rest, said) in [
        ("nf5", "", "nf4, q4_0"),
        ("nf4", "--method full", "trains the weights themselves"),
    ] {
        let line = format!("{TRAIN} --model @model --quantize {quantize} --out @other {rest}");
        let error = place.refused(line.trim());
        assert!(error.contains(said), "{error}");
    }
    place.run("merge --model @model --adapter @run --out @merged");
    for method in ["dora", "bora", "svfit", "pissa", "moe-lora", "vera"] {
        let line = format!(
            "train --task causal-lm --train @train.jsonl --targets all-linear --max-steps 2 --batch-size 4 --model @model --quantize q8_0 --method {method} --out @of-{method}"
        );
        let found = place.run(&line);
        assert!(found["steps"].as_u64().is_none_or(|steps| steps == 2), "{method}");
        let adapted = loss(&format!("--adapter @of-{method} --quantize q8_0"));
        assert!(adapted.is_finite() && (adapted - full).abs() < 1.0, "{method}: {adapted}");
    }
}

#[test]
fn packed_files_are_near_and_another_file_is_another_base() {
    let place = Place::new();
    place.write_gguf("exact.gguf", GgmlType::F32);
    place.write_gguf("tiny.gguf", GgmlType::Q8_0);
    let loss = |model: &str| {
        let line = format!("eval --task causal-lm --model @{model} --data @valid.jsonl");
        place.run(&line)["loss"].as_f64().unwrap()
    };
    let difference = loss("exact.gguf") - loss("tiny.gguf");
    assert!(difference.abs() < 0.05 && difference != 0.0, "{difference}");
    place.run(&format!("{TRAIN} --model @tiny.gguf --out @run"));
    place.write_gguf("tiny.gguf", GgmlType::Q4_0);
    let error = place.refused(&format!("{TRAIN} --model @tiny.gguf --out @run --resume"));
    assert!(
        error.contains("tiny.gguf") && error.contains("holds something else"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_none_says_so() {
    let place = Place::new();
    place.write_gguf("tiny.gguf", GgmlType::F32);
    let whole = fs::read(place.path("tiny.gguf")).unwrap();
    fs::write(place.path("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    fs::write(place.path("page.gguf"), "<!DOCTYPE html><html>").unwrap();
    for (name, word) in [("cut.gguf", "cut.gguf"), ("page.gguf", "page")] {
        let error = place.refused(&format!(
            "eval --task causal-lm --model @{name} --data @valid.jsonl"
        ));
        assert!(
            error.contains(word) && error.starts_with("error:"),
            "{error}"
        );
    }
}
