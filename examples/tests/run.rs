//! Both examples, with few steps: each asserts what it claims, and adapting must be worth it.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::sync::Mutex;

use peft_examples::{Report, hosted, own_layers};

/// Seeds of the device's random stream are global to the process.
static STREAM: Mutex<()> = Mutex::new(());

fn worth_it(run: fn(usize, usize) -> anyhow::Result<Report>) {
    let _alone = STREAM.lock().unwrap();
    let report = run(150, 100).unwrap();
    assert!(report.before < 0.5 && report.after > 0.8, "{report}");
}

#[test]
fn a_model_of_adapted_layers_learns_rotated_digits() {
    worth_it(own_layers::run);
}

#[test]
fn a_hosted_model_learns_rotated_digits() {
    worth_it(hosted::run);
}
