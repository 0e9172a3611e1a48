//! `--device` with several devices: a language model trains as on one, a run goes on with fewer, and what one device does takes one.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::fs;

use binary::tiny_llama::Place;
use serde_json::Value;

const TRAIN: &str = "train --task causal-lm --model @model --train @train.jsonl --valid @valid.jsonl --targets all-linear \
    --batch-size 6 --lr 1e-3 --set train.log_every=1 --set train.schedule=constant";

/// The loss of every step.
fn losses(place: &Place, run: &str) -> Vec<f64> {
    let log = fs::read_to_string(format!("{}/train_log.jsonl", place.path(run))).unwrap();
    let records = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let of_steps = records.filter(|record: &Value| record["kind"] == "train");
    of_steps
        .map(|record| record["loss"].as_f64().unwrap())
        .collect()
}

#[track_caller]
fn assert_same(one: &[f64], several: &[f64]) {
    for (at, (one, several)) in one.iter().zip(several).enumerate() {
        let error = (one / several - 1.0).abs();
        assert!(error < 1e-5, "step {at}: {one} {several}");
    }
}

#[test]
fn several_devices_train_a_language_model_as_one_does() {
    let place = Place::new();
    let line = |device: &str, steps: usize, rest: &str| {
        let line = format!("{TRAIN} --device {device} --max-steps {steps} {rest}");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    place.run(&line("flex", 50, "--out @one"));
    // Fewer devices go on with what more of them began.
    place.run(&line("flex,flex,flex", 20, "--out @several"));
    place.run(&line("flex,flex", 50, "--out @several --resume"));
    let (one, several) = (losses(&place, "one"), losses(&place, "several"));
    assert_eq!((one.len(), several.len()), (50, 50));
    assert!(one[49] < 0.9 * one[0], "nothing was learnt: {one:?}");
    assert_same(&one, &several);
    // What a procedure changes of the base is changed everywhere.
    let chain = "--set procedures.chain.every=4 --set procedures.chain.warmup=2";
    for (device, out) in [("flex", "chain"), ("flex,flex", "chains")] {
        place.run(&line(device, 12, &format!("{chain} --out @{out}")));
    }
    assert_same(&losses(&place, "chain"), &losses(&place, "chains"));
    for (refused, said) in [
        (
            "eval --task causal-lm --model @model --data @valid.jsonl --device flex,flex",
            "name one",
        ),
        (&line("flex,cuda", 1, "--out @other"), "--features cuda"),
    ] {
        let error = place.refused(refused);
        assert!(error.contains(said), "{error}");
    }
}
