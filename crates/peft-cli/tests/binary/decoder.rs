//! A tiny language model and texts for it.

use std::path::Path;

use burn::tensor::Device;
use peft_models::hf::{export, write_model};
use peft_models::{ModelConfig, init_causal_lm};
use serde_json::Value;

use super::json;

/// A tiny Llama with the tokenizer of the bundled model, and texts of its language.
pub(crate) struct Place(tempfile::TempDir);

const CONFIG: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 270, "hidden_size": 32,
    "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "initializer_range": 0.2, "tie_word_embeddings": true, "eos_token_id": 3}"#;

/// Writes a model folder of this configuration with fresh weights.
pub(crate) fn write_fresh(folder: &Path, config: &str) {
    let config = ModelConfig::parse(Path::new("config.json"), config).unwrap();
    let loaded = init_causal_lm(config, 1, &Device::flex()).unwrap();
    let tensors = export(&loaded.model, &loaded.names);
    write_model(folder, &loaded.config, &tensors).unwrap();
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let model = place.0.path().join("model");
        write_fresh(&model, CONFIG);
        let bundled =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-run/assets/tiny/tokenizer.json");
        std::fs::copy(bundled, model.join("tokenizer.json")).unwrap();
        let data = peft_train::synthetic::SentimentData::generate(5, 40, 12, 1);
        for (name, examples) in [("train", &data.train), ("valid", &data.valid)] {
            let lines = peft_train::synthetic::to_jsonl(examples);
            std::fs::write(place.0.path().join(format!("{name}.jsonl")), lines).unwrap();
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs a verb that reads what to train on, `train`, `data` or `targets`, on the place's model and the texts `train`,
    /// by a way of running it: [`json`], `failure`, ..
    pub(crate) fn reading<T>(
        &self,
        verb: &str,
        train: &str,
        more: &[&str],
        run: impl FnOnce(&[&str]) -> T,
    ) -> T {
        let (model, train) = (self.path("model"), self.path(train));
        let fixed = [
            verb,
            "--task",
            "causal-lm",
            "--model",
            &model,
            "--train",
            &train,
        ];
        run(&[&fixed[..], more].concat())
    }

    /// Runs `peft train` on the place's own texts.
    pub(crate) fn training<T>(&self, more: &[&str], run: impl FnOnce(&[&str]) -> T) -> T {
        self.reading("train", "train.jsonl", more, run)
    }

    /// Trains the adapter or model folder `name`; gives what was reported.
    pub(crate) fn train(&self, name: &str, method: &str, more: &[&str]) -> Value {
        let (valid, out) = (self.path("valid.jsonl"), self.path(name));
        let settings = [
            "--valid", &valid, "--method", method, "--out", &out, "--lr", "1e-2",
        ];
        let sizes = ["--max-length", "32", "--batch-size", "4", "--epochs", "2"];
        self.training(&[&settings[..], &sizes, more].concat(), json)
    }

    /// Trains the adapter folder `name` for two steps; gives its path.
    pub(crate) fn small(&self, name: &str) -> String {
        let few = ["--targets", "q_proj", "--rank", "2", "--max-steps", "2"];
        self.train(name, "lora", &few);
        self.path(name)
    }

    /// What `peft eval` says of a model and the texts `data`.
    pub(crate) fn scores(&self, model: &str, data: &str, more: &[&str]) -> Value {
        let (model, data) = (self.path(model), self.path(data));
        let fixed = [
            "eval",
            "--task",
            "causal-lm",
            "--model",
            &model,
            "--data",
            &data,
        ];
        json(&[&fixed[..], more].concat())
    }

    pub(crate) fn loss(&self, model: &str, more: &[&str]) -> f64 {
        let length = ["--max-length", "32"];
        let scores = self.scores(model, "valid.jsonl", &[&length[..], more].concat());
        scores["loss"].as_f64().unwrap()
    }

    /// The answers to prompts.
    pub(crate) fn answers(&self, model: &str, prompts: &[&str], more: &[&str]) -> Vec<String> {
        let model = self.path(model);
        let mut args = vec!["generate", "--model", &model, "--max-new-tokens", "12"];
        args.extend(prompts.iter().flat_map(|prompt| ["--prompt", prompt]));
        let result = json(&[&args[..], more].concat());
        let answers = result["answers"].as_array().unwrap().iter();
        answers
            .map(|answer| answer["answer"].as_str().unwrap().to_owned())
            .collect()
    }
}
