//! A run with gradient checkpointing ends where the run without it does.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod tiny_run;

use peft_train::TrainOptions;
use tiny_run::{Runs, adapter, options, run};

#[test]
fn a_run_that_computes_its_blocks_again_ends_with_the_same_adapter() {
    let runs = Runs::new();
    let kept = TrainOptions {
        accumulation: 2,
        ..options()
    };
    let again = TrainOptions {
        gradient_checkpointing: true,
        ..kept.clone()
    };
    for (name, options) in [("kept", kept), ("again", again)] {
        run(&runs.dir(name), &options, false, vec![]).unwrap();
    }
    assert_eq!(adapter(&runs.dir("kept")), adapter(&runs.dir("again")));
}
