//! `peft eval` and `peft predict` with several adapters in one model.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::path::Path;

use peft_train::synthetic::{SentimentData, to_jsonl};
use serde_json::{Value, json};

/// The bundled model, data of its language, and two adapters `a` and `b` with heads of their own.
struct Place {
    root: tempfile::TempDir,
    model: String,
}

const ROWS: usize = 24;

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = SentimentData::generate(5, 64, ROWS, 1);
        std::fs::write(root.path().join("train.jsonl"), to_jsonl(&data.train)).unwrap();
        std::fs::write(root.path().join("valid.jsonl"), to_jsonl(&data.valid)).unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny");
        let place = Self {
            root,
            model: model.to_str().unwrap().to_owned(),
        };
        for (name, targets, seed) in [("a", "query,value", "1"), ("b", "all-linear", "2")] {
            let (train, out) = (place.path("train.jsonl"), place.path(name));
            binary::json(&[
                "train",
                "--model",
                &place.model,
                "--train",
                &train,
                "--targets",
                targets,
                "--lr",
                "5e-3",
                "--epochs",
                "2",
                "--batch-size",
                "8",
                "--seed",
                seed,
                "--out",
                &out,
            ]);
        }
        place
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    fn named(&self, name: &str) -> String {
        format!("{name}={}", self.path(name))
    }

    /// Logits of every row.
    fn logits(&self, data: &str, more: &[&str]) -> Vec<Vec<f64>> {
        self.rows(data, more)
            .iter()
            .map(|row| serde_json::from_value(row["logits"].clone()).unwrap())
            .collect()
    }

    fn rows(&self, data: &str, more: &[&str]) -> Vec<Value> {
        let data = self.path(data);
        let fixed = ["predict", "--model", &self.model, "--data", &data];
        binary::stdout(&[&fixed, more].concat())
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn largest_difference(left: &[Vec<f64>], right: &[Vec<f64>]) -> f64 {
    assert_eq!(left.len(), right.len());
    let pairs = left.iter().flatten().zip(right.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn adapters_are_scored_each_by_itself_or_as_a_sum() {
    let place = Place::new();
    let data = place.path("valid.jsonl");
    let eval = |more: &[&str]| {
        let fixed = ["eval", "--model", &place.model, "--data", &data];
        binary::json(&[&fixed, more].concat())
    };
    let (a, b) = (place.named("a"), place.named("b"));
    let both = eval(&["--adapter", &a, "--adapter", &b]);
    let alone = [eval(&["--adapter", &a]), eval(&["--adapter", &b])];
    for (at, (name, alone)) in ["a", "b"].iter().zip(&alone).enumerate() {
        let found = &both["adapters"][at];
        assert_eq!(found["adapter"], *name);
        assert_eq!(
            (&found["loss"], &found["accuracy"]),
            (&alone["loss"], &alone["accuracy"])
        );
    }
    assert_ne!(alone[0]["loss"], alone[1]["loss"]);
    let only_b = eval(&["--adapter", &a, "--adapter", &b, "--sum", "b"]);
    assert_eq!(only_b["loss"], alone[1]["loss"]);
    let sum = eval(&["--adapter", &a, "--adapter", &b, "--sum", "a=0.5,b=0.5"]);
    assert!(alone.iter().all(|alone| alone["loss"] != sum["loss"]));
}

/// The adapters of every three rows of `mixed.jsonl`.
const NAMES: [&str; 3] = ["a", "b", "b"];

/// Writes `mixed.jsonl`: the validation data with a column `use` that names an adapter.
fn write_mixed(place: &Place) {
    let valid = std::fs::read_to_string(place.path("valid.jsonl")).unwrap();
    let mixed: String = valid
        .lines()
        .enumerate()
        .map(|(at, line)| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            row["use"] = json!(NAMES[at % 3]);
            format!("{row}\n")
        })
        .collect();
    std::fs::write(place.path("mixed.jsonl"), mixed).unwrap();
}

#[test]
fn each_row_is_answered_by_the_adapter_that_its_column_names() {
    let place = Place::new();
    write_mixed(&place);
    let (a, b) = (place.named("a"), place.named("b"));
    let both = ["--adapter", &a, "--adapter", &b];
    let alone = [
        place.logits("valid.jsonl", &["--adapter", &a]),
        place.logits("valid.jsonl", &["--adapter", &b]),
    ];
    assert!(largest_difference(&alone[0], &alone[1]) > 1e-2);
    let by_column = [&both[..], &["--adapter-column", "use"]].concat();
    let rows = place.rows("mixed.jsonl", &by_column);
    let expected: Vec<Vec<f64>> = (0..ROWS)
        .map(|at| alone[usize::from(NAMES[at % 3] == "b")][at].clone())
        .collect();
    let found: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| serde_json::from_value(row["logits"].clone()).unwrap())
        .collect();
    let difference = largest_difference(&found, &expected);
    assert!(difference < 1e-6, "{difference}");
    assert_eq!(rows[1]["adapter"], "b");
}

#[test]
fn without_a_choice_or_with_an_unknown_name_the_way_out_is_said() {
    let place = Place::new();
    let (a, b) = (place.named("a"), place.named("b"));
    std::fs::write(
        place.path("wrong.jsonl"),
        "{\"text\": \"x\", \"use\": \"c\"}\n",
    )
    .unwrap();
    let data = place.path("wrong.jsonl");
    let fixed = ["predict", "--model", &place.model, "--data", &data];
    let args = [&fixed[..], &["--adapter", &a, "--adapter", &b]].concat();
    let (code, error) = binary::failure(&args);
    assert_eq!(code, 2);
    assert!(
        error.contains("--sum") && error.contains("--adapter-column"),
        "{error}"
    );
    let (code, error) = binary::failure(&[&args[..], &["--adapter-column", "use"]].concat());
    assert_eq!(code, 2);
    assert!(error.contains("`c`") && error.contains("line 1"), "{error}");
}
