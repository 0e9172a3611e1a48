//! Files as people have them: own column names, headers, encodings, a share to judge by.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::{failed, failure, json, peft, said, stdout};
use peft_train::synthetic::{LabelledText, SentimentData};
use serde_json::Value;

/// The bundled model and rows of its language.
struct Place {
    root: tempfile::TempDir,
    model: String,
    rows: Vec<LabelledText>,
}

impl Place {
    fn new() -> Self {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-run/assets/tiny");
        Self {
            root: tempfile::tempdir().unwrap(),
            model: model.to_str().unwrap().to_owned(),
            rows: SentimentData::generate(5, 48, 1, 1).train,
        }
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file of all rows below `first`, and returns its path.
    fn table(&self, name: &str, first: &str, row: impl Fn(&LabelledText) -> String) -> String {
        let rows: String = self
            .rows
            .iter()
            .map(|text| format!("{}\n", row(text)))
            .collect();
        std::fs::write(self.path(name), format!("{first}{rows}")).unwrap();
        self.path(name)
    }

    /// A CSV with a header of its own names.
    fn reviews(&self) -> String {
        self.table("reviews.csv", "id,review,sentiment\n", |row| {
            format!("7,{},{}", row.text, row.label)
        })
    }

    fn train<'a>(&'a self, train: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let fixed = [
            "train",
            "--model",
            &self.model,
            "--train",
            train,
            "--max-steps",
            "2",
            "--out",
            out,
        ];
        [&fixed[..], more].concat()
    }

    /// A verb that asks the adapter `out` about `data`.
    fn asks<'a>(&'a self, verb: &'a str, out: &'a str, data: &'a str) -> [&'a str; 7] {
        let model = &self.model;
        [verb, "--model", model, "--adapter", out, "--data", data]
    }
}

fn labels(out: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(out).join("labels.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_header_is_never_learnt_and_the_flag_that_is_named_works_for_every_verb() {
    let place = Place::new();
    let (file, out) = (place.reviews(), place.path("run"));
    let refused = place.train(&file, &out, &["--columns", "_,text,label"]);
    let (code, message) = failure(&refused);
    assert_eq!(code, 1, "{message}");
    let flag = "text=review,label=sentiment";
    assert!(message.contains(&format!("--columns {flag}")), "{message}");
    assert!(!Path::new(&out).join("labels.json").exists());
    // The other mistake, no columns at all, names the same flag.
    let (_, message) = failure(&place.train(&file, &out, &[]));
    assert!(message.contains(&format!("--columns {flag}")), "{message}");

    json(&place.train(&file, &out, &["--columns", flag]));
    assert_eq!(labels(&out), ["negative", "positive"]);
    let scored = json(&place.asks("eval", &out, &file));
    assert_eq!(scored["examples"], 48);
    let answers = stdout(&place.asks("predict", &out, &file));
    assert_eq!(answers.lines().count(), 48);
    let prune = place.asks("prune", &out, &file);
    let plan = json(&[&prune[..], &["--score", "output"]].concat());
    assert!(plan["examples"].as_u64().unwrap() > 0, "{plan}");
    // A file of the usual names, and one without labels, are read too.
    let usual = place.table("usual.csv", "text,label\n", |row| {
        format!("{},{}", row.text, row.label)
    });
    let bare = place.table("bare.csv", "review\n", |row| row.text.clone());
    let again = json(&place.asks("eval", &out, &usual));
    assert_eq!(again["metrics"], scored["metrics"]);
    let bare = stdout(&place.asks("predict", &out, &bare));
    assert_eq!(bare, answers);
}

#[test]
fn columns_that_are_named_in_their_order_serve_the_files_of_eval_as_well() {
    let place = Place::new();
    let file = place.table("train.tsv", "", |row| {
        format!("{}\t{}", row.label, row.text)
    });
    let out = place.path("run");
    json(&place.train(&file, &out, &["--columns", "label,text"]));
    assert_eq!(json(&place.asks("eval", &out, &file))["examples"], 48);
    let (code, message) =
        failure(&place.train(&file, &out, &["--columns", "review=text", "--overwrite"]));
    assert!(
        code == 2 && message.contains("did you mean text=review?"),
        "{message}"
    );
    let (code, message) =
        failure(&place.train(&file, &out, &["--columns", "text=a,label", "--overwrite"]));
    assert!(code == 2 && message.contains("NAME=COLUMN"), "{message}");
}

#[test]
fn roles_of_a_run_file_are_those_of_its_adapter() {
    let place = Place::new();
    let file = place.table("train.jsonl", "", |row| {
        serde_json::json!({"review": row.text, "stars": row.label}).to_string()
    });
    let out = place.path("run");
    let roles = [
        "--set",
        "data.roles.text=review",
        "--set",
        "data.roles.target=stars",
    ];
    json(&place.train(&file, &out, &roles));
    assert_eq!(json(&place.asks("eval", &out, &file))["examples"], 48);
}

#[test]
fn how_a_file_was_read_is_said() {
    let place = Place::new();
    let file = place.table("train.csv", "text;label\r\n", |row| {
        format!("caf\u{e9}, {};{}", row.text, row.label)
    });
    let text = std::fs::read_to_string(&file).unwrap();
    let latin: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    std::fs::write(&file, latin).unwrap();
    let out = place.path("run");
    let (code, message) = failure(&place.train(&file, &out, &[]));
    assert!(
        code == 1 && message.contains("line 2") && message.contains("--encoding windows-1252"),
        "{message}"
    );
    let said = said(&place.train(&file, &out, &["--encoding", "windows-1252"]));
    assert!(
        said.contains("read as windows-1252") && said.contains("separated by `;`"),
        "{said}"
    );
    let settings = std::fs::read_to_string(Path::new(&out).join("run.toml")).unwrap();
    assert!(
        settings.contains("encoding = \"windows-1252\""),
        "{settings}"
    );
}

#[test]
fn one_label_alone_is_refused() {
    let place = Place::new();
    let file = place.table("train.csv", "text,label\n", |row| {
        format!("{},positive", row.text)
    });
    let (code, message) = failure(&place.train(&file, &place.path("run"), &[]));
    assert_eq!(code, 1);
    assert!(
        message.contains("two labels or more") && message.contains("positive"),
        "{message}"
    );
}

#[test]
fn metrics_say_of_which_label_they_are() {
    let place = Place::new();
    let word = |row: &LabelledText| {
        if row.label == "positive" {
            "fraud"
        } else {
            "normal"
        }
    };
    let two = place.table("two.csv", "text,label\n", |row| {
        format!("{},{}", row.text, word(row))
    });
    let (out, share) = (place.path("two"), ["--valid-share", "0.25"]);
    let usual = json(&place.train(&two, &out, &share));
    assert!(
        usual["scores"]["metrics"]["f1 (normal)"].is_number(),
        "{usual}"
    );
    assert_eq!(usual["judged_by"], "accuracy");
    assert_eq!(usual["examples"], 36);
    let chosen = [
        "--metrics",
        "f1,recall",
        "--positive",
        "fraud",
        "--overwrite",
    ];
    let chosen = json(&place.train(&two, &out, &[&share[..], &chosen].concat()));
    let metrics = chosen["scores"]["metrics"].as_object().unwrap();
    assert_eq!(
        metrics.keys().collect::<Vec<_>>(),
        ["f1 (fraud)", "recall (fraud)"]
    );
    assert_eq!(chosen["judged_by"], "f1 (fraud)");
    let eval = place.asks("eval", &out, &two);
    let output = peft(&[&eval[..], &["--metrics", "mse"]].concat());
    assert_eq!(failed(&output).0, 2);
}

#[test]
fn metrics_are_refused_where_they_make_no_sense() {
    let place = Place::new();
    let three = place.table("three.csv", "text,label\n", |row| {
        format!("{},{}", row.text, ["a", "b", "c"][row.text.len() % 3])
    });
    for (more, words) in [
        (&["--metrics", "f1"][..], &["f1_macro", "--positive"][..]),
        (&["--metrics", "pearson"], &["accuracy", "matthews"]),
        (
            &["--metrics", "accuracy", "--positive", "a"],
            &["none of the metrics"],
        ),
        (&["--metrics", "f1", "--positive", "d"], &["a, b, c"]),
        (
            &["--task", "regression", "--metrics", "f1"],
            &["a metric of numbers"],
        ),
    ] {
        let file = if more.contains(&"regression") {
            place.table("numbers.csv", "text,score\n", |row| {
                format!("{},{}", row.text, row.text.len())
            })
        } else {
            three.clone()
        };
        let (code, message) = failure(&place.train(&file, &place.path("three"), more));
        assert_eq!(code, 2, "{message}");
        assert!(
            words.iter().all(|word| message.contains(word)),
            "{more:?}: {message}"
        );
    }
}

#[test]
fn a_share_to_judge_by_excludes_a_file_to_judge_by() {
    let place = Place::new();
    let file = place.reviews();
    let both = [
        "--columns",
        "text=review,label=sentiment",
        "--valid-share",
        "0.5",
        "--valid",
        &file,
    ];
    let (code, message) = failure(&place.train(&file, &place.path("run"), &both));
    assert!(code == 2 && message.contains("--valid-share"), "{message}");
    let report: Value = json(&place.train(&file, &place.path("run"), &both[..4]));
    assert_eq!(report["examples"], 24);
}
