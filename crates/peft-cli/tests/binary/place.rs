//! The bundled model, data of its language, and adapters trained on it.

use std::path::Path;

use peft_train::synthetic::{SentimentData, to_jsonl};
use serde_json::Value;

use super::{json, stdout};

/// A folder with `train.jsonl`, `valid.jsonl` and the adapters that were trained.
pub(crate) struct Place {
    root: tempfile::TempDir,
    pub(crate) model: String,
}

/// LoRA-drop that keeps half of the layers, by half of the rows.
pub(crate) const LORA_DROP: [&str; 10] = [
    "--method",
    "lora-drop",
    "--targets",
    "all-linear",
    "--rank",
    "4",
    "--set",
    "prune.keep=0.5",
    "--set",
    "prune.sample=0.5",
];

/// Rows of `valid.jsonl`.
pub(crate) const ROWS: usize = 24;

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = SentimentData::generate(5, 64, ROWS, 1);
        std::fs::write(root.path().join("train.jsonl"), to_jsonl(&data.train)).unwrap();
        std::fs::write(root.path().join("valid.jsonl"), to_jsonl(&data.valid)).unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-run/assets/tiny");
        Self {
            root,
            model: model.to_str().unwrap().to_owned(),
        }
    }

    /// Runs `peft train` on the place's model and texts into the folder `name`, by a way of running it: [`json`],
    /// `failure`, `owned`, ..
    pub(crate) fn training<T>(
        &self,
        name: &str,
        more: &[&str],
        run: impl FnOnce(&[&str]) -> T,
    ) -> T {
        let (train, out) = (self.path("train.jsonl"), self.path(name));
        let fixed = [
            "train",
            "--model",
            &self.model,
            "--train",
            &train,
            "--out",
            &out,
        ];
        run(&[&fixed[..], more].concat())
    }

    /// The same, judged by `valid.jsonl`.
    pub(crate) fn judged<T>(&self, name: &str, more: &[&str], run: impl FnOnce(&[&str]) -> T) -> T {
        let valid = self.path("valid.jsonl");
        let judge = ["--valid", &valid];
        self.training(name, &[&judge[..], more].concat(), run)
    }

    /// Trains the adapter folder `name` for a few steps.
    pub(crate) fn train(&self, name: &str, more: &[&str]) {
        let how = ["--lr", "5e-3", "--epochs", "2", "--batch-size", "8"];
        self.training(name, &[&how[..], more].concat(), json);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    /// Logits of every row.
    pub(crate) fn logits(&self, data: &str, more: &[&str]) -> Vec<Vec<f64>> {
        self.rows(data, more)
            .iter()
            .map(|row| serde_json::from_value(row["logits"].clone()).unwrap())
            .collect()
    }

    pub(crate) fn rows(&self, data: &str, more: &[&str]) -> Vec<Value> {
        let data = self.path(data);
        let fixed = ["predict", "--model", &self.model, "--data", &data];
        stdout(&[&fixed, more].concat())
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

pub(crate) fn largest_difference(left: &[Vec<f64>], right: &[Vec<f64>]) -> f64 {
    assert_eq!(left.len(), right.len());
    let pairs = left.iter().flatten().zip(right.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}
