//! `peft train`, `eval`, `predict` and `merge` on the bundled model, and a run that is killed.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use binary::words;
use peft_train::Checkpoints;
use peft_train::synthetic::{SentimentData, to_jsonl};

/// The bundled model with data of its language.
struct Place {
    root: tempfile::TempDir,
    model: PathBuf,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = SentimentData::generate(5, 96, 60, 1);
        std::fs::write(root.path().join("train.jsonl"), to_jsonl(&data.train)).unwrap();
        std::fs::write(root.path().join("valid.jsonl"), to_jsonl(&data.valid)).unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-run/assets/tiny");
        Self { root, model }
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    fn train(&self, out: &str, more: &[&str]) -> Vec<String> {
        let fixed = [
            "train",
            "--model",
            self.model.to_str().unwrap(),
            "--train",
            &self.path("train.jsonl"),
            "--valid",
            &self.path("valid.jsonl"),
            "--targets",
            "all-linear",
            "--lr",
            "5e-3",
            "--epochs",
            "6",
            "--batch-size",
            "8",
            "--dropout",
            "0.1",
            "--set",
            "train.save_every=2",
            "--out",
            &self.path(out),
        ]
        .map(str::to_owned);
        fixed
            .into_iter()
            .chain(more.iter().map(|arg| (*arg).to_owned()))
            .collect()
    }

    fn run(&self, out: &str, more: &[&str]) -> serde_json::Value {
        binary::json(&words(&self.train(out, more)))
    }

    fn fail(&self, out: &str, more: &[&str]) -> (i32, String) {
        binary::failure(&words(&self.train(out, more)))
    }

    fn adapter(&self, out: &str) -> Vec<u8> {
        std::fs::read(Path::new(&self.path(out)).join("adapter_model.safetensors")).unwrap()
    }

    fn spawn(&self, out: &str, more: &[&str]) -> Child {
        binary::spawn(&words(&self.train(out, more)), Stdio::null)
    }

    /// Kills a run with SIGKILL `delay` milliseconds after its checkpoint of `step`, or of a later one, appeared.
    fn kill_after(&self, out: &str, resume: bool, step: usize, delay: u64) {
        let mut child = self.spawn(out, if resume { &["--resume"] } else { &[] });
        let checkpoints = Checkpoints::new(Path::new(&self.path(out)), 1);
        let since = Instant::now();
        while checkpoints.steps().unwrap().last() < Some(&step) {
            assert!(since.elapsed() < Duration::from_secs(120), "no checkpoint");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "the run ended before it was killed");
    }
}

#[test]
fn every_number_of_threads_ends_with_the_same_bytes() {
    let place = Place::new();
    let trained = ["1", "2", "5"].map(|threads| {
        let mut arguments = place.train(threads, &["--set", "train.max_steps=12"]);
        arguments.push("--json".to_owned());
        let output = binary::peft_in(&words(&arguments), &[("RAYON_NUM_THREADS", threads)]);
        assert!(output.status.success());
        place.adapter(threads)
    });
    assert!(trained[0] == trained[1] && trained[1] == trained[2]);
}

#[test]
fn a_run_killed_at_three_moments_and_resumed_ends_with_the_bytes_of_an_unbroken_run() {
    let place = Place::new();
    let unbroken = place.run("unbroken", &[]);
    assert_eq!(unbroken["steps"], 72);
    // Moments that no step boundary decides: some milliseconds after a checkpoint, other ones at every run of this test.
    let jitter = u64::from(std::process::id() % 20);
    for (resume, step, delay) in [(false, 4, jitter), (true, 12, jitter / 2), (true, 20, 3)] {
        place.kill_after("broken", resume, step, delay);
    }
    let resumed = place.run("broken", &["--resume"]);
    assert_eq!(place.adapter("unbroken"), place.adapter("broken"));
    assert_eq!(unbroken["scores"], resumed["scores"]);
    assert_eq!(unbroken["tokens"], resumed["tokens"]);
}

#[test]
fn eval_predict_and_merge_agree_with_the_run_that_trained_the_adapter() {
    let place = Place::new();
    let run = place.run("run", &[]);
    let (model, adapter) = (place.model.to_str().unwrap(), place.path("run"));
    let (valid, merged) = (place.path("valid.jsonl"), place.path("merged"));
    let with_adapter = ["--model", model, "--adapter", &adapter, "--data", &valid];
    let scores = binary::json(&[&["eval"], &with_adapter[..]].concat());
    assert_eq!(scores["metrics"], run["scores"]["metrics"]);

    let rows = |args: &[&str]| -> Vec<serde_json::Value> {
        let text = binary::stdout(args);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let answers = rows(&[&["predict"], &with_adapter[..]].concat());
    assert_eq!(answers.len(), 60);
    let truth = std::fs::read_to_string(&valid).unwrap();
    let right = truth
        .lines()
        .zip(&answers)
        .filter(|(line, answer)| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["label"] == answer["label"]
        })
        .count();
    let accuracy = run["scores"]["metrics"]["accuracy"].as_f64().unwrap();
    assert!((right as f64 / 60.0 - accuracy).abs() < 1e-9);

    let report = binary::merge(model, &adapter, &merged, binary::json);
    assert!(
        report["largest_output_difference"].as_f64().unwrap() < 1e-4,
        "{report}"
    );
    assert!(report["largest_change"].as_f64().unwrap() > 0.0);
    let folded = rows(&["predict", "--model", &merged, "--data", &valid]);
    for (adapted, folded) in answers.iter().zip(&folded) {
        assert_eq!(adapted["label"], folded["label"]);
        let logit = |row: &serde_json::Value| row["logits"][0].as_f64().unwrap();
        assert!((logit(adapted) - logit(folded)).abs() < 1e-3);
    }
}

#[test]
fn a_directory_that_is_not_empty_is_overwritten_only_when_asked() {
    let place = Place::new();
    let short = ["--max-steps", "2"];
    place.run("run", &short);
    let before = place.adapter("run");
    let (code, text) = place.fail("run", &short);
    assert_eq!(code, 1);
    assert!(
        text.contains("--overwrite") && text.contains("--resume"),
        "{text}"
    );
    assert_eq!(before, place.adapter("run"));
    place.run("run", &["--max-steps", "2", "--seed", "3", "--overwrite"]);
    assert_ne!(before, place.adapter("run"));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_do() {
    let place = Place::new();
    for (setting, word) in [
        ("train.learning_rate=1", "train.learning_rate"),
        ("adapter.method=lroa", "lora"),
        ("adapter.targets=[\"quary\"]", "query"),
        ("adapter.options.dropout=1.5", "dropout"),
        ("adapter.rank=0", "rank"),
        ("train.epochs=0", "epochs"),
    ] {
        let (code, text) = place.fail("wrong", &["--set", setting, "--overwrite"]);
        assert_eq!(code, 2, "{setting}: {text}");
        assert!(text.contains(word), "{setting}: {text}");
    }
    let (code, text) = binary::failure(&["train", "--task", "seq-cls"]);
    assert_eq!(code, 2);
    assert!(text.contains("model") && text.contains("--train"), "{text}");
}

#[test]
fn a_missing_model_or_label_ends_with_1_and_the_place() {
    let place = Place::new();
    let (code, text) = place.fail("run", &["--set", "model=nowhere"]);
    assert_eq!(code, 1);
    assert!(text.contains("nowhere"), "{text}");
    std::fs::write(place.path("train.jsonl"), "{\"text\": \"anna sleeps .\"}\n").unwrap();
    let (code, text) = place.fail("run", &[]);
    assert_eq!(code, 1);
    assert!(
        text.contains("train.jsonl") && text.contains("label"),
        "{text}"
    );
}
