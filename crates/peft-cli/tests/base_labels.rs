//! Labels of a head that a model has already: kept in their order, or left for a fresh head, never numbered anew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::{failure, json, owned, said, words};
use peft_train::synthetic::SentimentData;
use serde_json::Value;

/// A classifier whose outputs are called otherwise than their alphabet.
struct Place {
    root: tempfile::TempDir,
    model: String,
}

/// Of the outputs: 0 was trained on `negative`, 1 on `positive`.
const NAMES: [&str; 2] = ["zulu", "alpha"];

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-run/assets/tiny");
        let mut place = Self {
            root,
            model: tiny.to_str().unwrap().to_owned(),
        };
        place.write("plain.jsonl", &["negative", "positive"]);
        place.write("named.jsonl", &NAMES);
        place.write("numbers.jsonl", &["0", "1"]);
        place.write("upper.jsonl", &["ZULU", "ALPHA"]);
        place.write("other.jsonl", &["ham", "spam"]);
        place.train(
            "plain.jsonl",
            "base",
            &["--method", "full", "--lr", "1e-3", "--epochs", "20"],
        );
        let config = Path::new(&place.path("base")).join("config.json");
        let mut fields: Value =
            serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
        fields["id2label"] = serde_json::json!({"0": NAMES[0], "1": NAMES[1]});
        fields["label2id"] = serde_json::json!({NAMES[0]: 0, NAMES[1]: 1});
        std::fs::write(&config, fields.to_string()).unwrap();
        for extra in ["labels.json", "run.toml", "results.json"] {
            std::fs::remove_file(Path::new(&place.path("base")).join(extra)).unwrap();
        }
        place.model = place.path("base");
        place
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    /// The same texts with these words for `negative` and `positive`.
    fn write(&self, name: &str, words: &[&str; 2]) {
        let data = SentimentData::generate(5, 120, 1, 1).train;
        let line = |row: &peft_train::synthetic::LabelledText| {
            let label = words[usize::from(row.label == "positive")];
            format!(
                "{}\n",
                serde_json::json!({"text": row.text, "label": label})
            )
        };
        std::fs::write(self.path(name), data.iter().map(line).collect::<String>()).unwrap();
    }

    fn arguments(&self, data: &str, out: &str, more: &[&str]) -> Vec<String> {
        let (data, out) = (self.path(data), self.path(out));
        let fixed = [
            "train",
            "--model",
            &self.model,
            "--train",
            &data,
            "--valid",
            &data,
            "--batch-size",
            "8",
            "--out",
            &out,
        ];
        owned(&[&fixed[..], more].concat())
    }

    fn train(&self, data: &str, out: &str, more: &[&str]) -> Value {
        json(&words(&self.arguments(data, out, more)))
    }

    fn labels(&self, out: &str) -> Vec<String> {
        let text = std::fs::read_to_string(Path::new(&self.path(out)).join("labels.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn accuracy(&self, data: &str, more: &[&str]) -> f64 {
        let data = self.path(data);
        let fixed = ["eval", "--model", &self.model, "--data", &data];
        let scores = json(&[&fixed[..], more].concat());
        scores["metrics"]["accuracy"].as_f64().unwrap()
    }
}

#[test]
fn a_head_for_the_labels_of_the_data_goes_on_in_its_order() {
    let place = Place::new();
    let before = place.accuracy("named.jsonl", &[]);
    assert!(before > 0.9, "{before}");
    assert_eq!(place.accuracy("numbers.jsonl", &[]), before);
    let short = ["--max-steps", "2", "--lr", "1e-5"];
    for (data, names) in [
        ("named.jsonl", NAMES),
        ("upper.jsonl", ["ZULU", "ALPHA"]),
        ("numbers.jsonl", NAMES),
    ] {
        let out = format!("on-{data}");
        let report = place.train(data, &out, &short);
        let after = report["scores"]["metrics"]["accuracy"].as_f64().unwrap();
        assert!(
            (after - before).abs() < 0.05,
            "{data}: {before} became {after}"
        );
        assert_eq!(place.labels(&out), names);
        let adapter = place.path(&out);
        let scored = place.accuracy(data, &["--adapter", &adapter]);
        assert!((scored - after).abs() < 1e-9, "{data}: {scored}");
    }
    // Going on from that adapter keeps its order as well.
    let start = place.path("on-named.jsonl");
    let start = [
        "--start",
        start.as_str(),
        "--max-steps",
        "2",
        "--lr",
        "1e-5",
    ];
    let report = place.train("named.jsonl", "further", &start);
    assert!(
        report["scores"]["metrics"]["accuracy"].as_f64().unwrap() > 0.9,
        "{report}"
    );
    assert_eq!(place.labels("further"), NAMES);
    let refused = place.arguments("other.jsonl", "refused", &start);
    let (code, message) = failure(&words(&refused));
    assert!(
        code == 2 && message.contains("zulu, alpha") && message.contains("ham, spam"),
        "{message}"
    );
}

#[test]
fn a_head_for_other_labels_starts_afresh_and_that_is_said() {
    let place = Place::new();
    let arguments = place.arguments("other.jsonl", "run", &["--max-steps", "1", "--lr", "1e-9"]);
    let said = said(&words(&arguments));
    assert!(
        said.contains("starts afresh") && said.contains("zulu, alpha"),
        "{said}"
    );
    assert_eq!(place.labels("run"), ["ham", "spam"]);
    assert!(
        said.contains("starting afresh: classifier.bias, classifier.weight"),
        "{said}"
    );
}
