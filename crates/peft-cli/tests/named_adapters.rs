//! `peft eval` and `peft predict` with several adapters in one model.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use binary::place::{Place, ROWS, largest_difference};
use serde_json::{Value, json};

/// A place with two adapters `a` and `b` with heads of their own.
fn with_two() -> Place {
    let place = Place::new();
    place.train("a", &["--targets", "query,value", "--seed", "1"]);
    place.train("b", &["--targets", "all-linear", "--seed", "2"]);
    place
}

fn named(place: &Place, name: &str) -> String {
    format!("{name}={}", place.path(name))
}

#[test]
fn adapters_are_scored_each_by_itself_or_as_a_sum() {
    let place = with_two();
    let data = place.path("valid.jsonl");
    let eval = |more: &[&str]| {
        let fixed = ["eval", "--model", &place.model, "--data", &data];
        binary::json(&[&fixed, more].concat())
    };
    let (a, b) = (named(&place, "a"), named(&place, "b"));
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
    let place = with_two();
    write_mixed(&place);
    let (a, b) = (named(&place, "a"), named(&place, "b"));
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
    let place = with_two();
    let (a, b) = (named(&place, "a"), named(&place, "b"));
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
