//! Training that is dealt out between devices, and its losses.

use std::fs;

use serde_json::Value;

use super::tiny_llama::Place;

const TRAIN: &str = "train --task causal-lm --model @model --train @train.jsonl --valid @valid.jsonl --targets all-linear \
    --batch-size 6 --lr 1e-3 --set train.log_every=1 --set train.schedule=constant";

pub(crate) fn line(device: &str, steps: usize, rest: &str) -> String {
    let line = format!("{TRAIN} --device {device} --max-steps {steps} {rest}");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The loss of every step so far; of a run that goes on, without the line that is being written.
pub(crate) fn losses(place: &Place, run: &str) -> Vec<f64> {
    let log = fs::read_to_string(format!("{}/train_log.jsonl", place.path(run)));
    let log = log.unwrap_or_default();
    let records = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_steps = records.filter(|record| record["kind"] == "train");
    of_steps
        .map(|record| record["loss"].as_f64().unwrap())
        .collect()
}

#[track_caller]
pub(crate) fn assert_same(one: &[f64], several: &[f64]) {
    assert_eq!(one.len(), several.len());
    for (at, (one, several)) in one.iter().zip(several).enumerate() {
        let error = (one / several - 1.0).abs();
        assert!(error < 1e-5, "step {at}: {one} {several}");
    }
}
