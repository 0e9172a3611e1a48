//! A run that goes on from an adapter has its settings where no other is given.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::decoder::Place;
use serde_json::Value;

/// What a folder's configuration says, without what only the writer knows.
fn config(place: &Place, name: &str) -> Value {
    let path = Path::new(&place.path(name)).join("adapter_config.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

const FEW: [&str; 4] = ["--max-steps", "1", "--max-length", "32"];

/// Trains `out` from `start` with these further flags.
fn go_on<T>(
    place: &Place,
    start: &str,
    out: &str,
    more: &[&str],
    run: impl FnOnce(&[&str]) -> T,
) -> T {
    let (start, out) = (place.path(start), place.path(out));
    let flags = ["--start", &start, "--out", &out];
    place.training(&[&flags[..], &FEW, more].concat(), run)
}

#[test]
fn everything_that_no_flag_says_is_as_in_the_folder() {
    let place = Place::new();
    for (method, more) in [
        ("lora", &["--dropout", "0.25"][..]),
        ("rslora", &[]),
        ("dora", &[]),
        (
            "bora",
            &["--set", "adapter.options.order=\"columns_first\""],
        ),
        ("moe-lora", &["--experts", "3", "--top-k", "1"]),
    ] {
        let sizes = [
            "--rank",
            "3",
            "--alpha",
            "5",
            "--targets",
            "q_proj,down_proj",
            "--max-steps",
            "1",
            "--set",
            "adapter.rank_pattern={down_proj = 2}",
            "--set",
            "adapter.alpha_pattern={down_proj = 7.0}",
        ];
        place.train(method, method, &[&sizes[..], more].concat());
        let out = format!("{method}-on");
        go_on(&place, method, &out, &[], binary::json);
        assert_eq!(config(&place, &out), config(&place, method), "{method}");
    }
}

#[test]
fn a_flag_wins_and_a_contradiction_is_said_once_for_all_layers() {
    let place = Place::new();
    place.train(
        "a",
        "lora",
        &[
            "--rank",
            "3",
            "--alpha",
            "5",
            "--targets",
            "all-linear",
            "--max-steps",
            "1",
        ],
    );
    go_on(&place, "a", "b", &["--dropout", "0.5"], binary::json);
    assert_eq!(config(&place, "b")["lora_dropout"], 0.5);
    assert_eq!(config(&place, "b")["r"], 3);
    let (_, error) = go_on(
        &place,
        "a",
        "c",
        &["--rank", "4", "--alpha", "9", "--targets", "q_proj"],
        binary::failure,
    );
    for once in [
        "rank: the folder has 3, this adapter 4",
        "alpha: the folder has 5, this adapter 9",
        "targets: the folder adapts",
    ] {
        assert_eq!(error.matches(once).count(), 1, "{error}");
    }
    assert!(error.lines().count() < 14, "{error}");
}
