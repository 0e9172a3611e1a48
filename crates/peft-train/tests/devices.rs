//! Training on several devices: the numbers of one, whatever becomes of the others.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod tiny_run;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor};
use peft_core::Pass;
use peft_models::SequenceClassifier;
use peft_train::log::read_log;
use peft_train::metric::Measure;
use peft_train::task::{ClassifierTask, Scores, Task};
use peft_train::{
    Checkpoints, LOG_FILE, RunError, Spread, Stop, TrainError, TrainOptions, TrainReport,
};
use tiny_run::{How, Runs, adapter, alone, options, run_task, task};

/// Losses against those of one device, relative: sums run in another order.
const LOSS: f64 = 1e-5;

fn fifty() -> TrainOptions {
    TrainOptions {
        max_steps: Some(50),
        lr: 2e-3,
        accumulation: 2,
        ..options()
    }
}

fn on(dir: &Path, further: usize, resume: bool) -> Result<TrainReport, TrainError> {
    let how = How {
        further,
        resume,
        ..How::default()
    };
    run_task(dir, &fifty(), &task(), how)
}

/// Losses of the log: of every step, and of the evaluations.
fn losses(dir: &Path) -> Vec<f64> {
    let records = read_log(&dir.join(LOG_FILE)).unwrap();
    let loss = |record: &serde_json::Value| record["loss"].as_f64();
    records.iter().filter_map(loss).collect()
}

#[track_caller]
fn assert_same(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / expected.abs();
        assert!(error < LOSS, "record {at}: {found} is not {expected}");
    }
}

#[test]
fn several_devices_give_the_losses_of_one() {
    let runs = Runs::new();
    let alone = on(&runs.dir("1"), 0, false).unwrap();
    let expected = losses(&runs.dir("1"));
    assert!(expected.len() > 50);
    for further in [1, 2, 11] {
        let dir = runs.dir(&format!("{further} more"));
        let report = on(&dir, further, false).unwrap();
        assert_same(&losses(&dir), &expected);
        assert_eq!(report.tokens, alone.tokens);
        // A step does not depend on who was faster.
        let again = runs.dir(&format!("{further} more, again"));
        on(&again, further, false).unwrap();
        assert_eq!(adapter(&again), adapter(&dir));
    }
}

#[test]
fn with_dropout_and_blocks_computed_again_a_run_repeats() {
    let _alone = alone();
    let runs = Runs::new();
    let options = TrainOptions {
        gradient_checkpointing: true,
        max_steps: Some(10),
        ..fifty()
    };
    let run = |name: &str, dropout: f64, further: usize| {
        let how = How {
            further,
            dropout,
            ..How::default()
        };
        run_task(&runs.dir(name), &options, &task(), how).unwrap();
    };
    run("first", 0.1, 2);
    run("again", 0.1, 2);
    assert_eq!(adapter(&runs.dir("first")), adapter(&runs.dir("again")));
    run("alone", 0.0, 0);
    run("dealt out", 0.0, 2);
    assert_same(&losses(&runs.dir("dealt out")), &losses(&runs.dir("alone")));
}

/// A task that panics with one of its losses, as Burn does where a device is lost.
#[derive(Debug)]
struct Breaks {
    inner: ClassifierTask<SequenceClassifier>,
    losses: AtomicUsize,
    at: usize,
}

impl Task for Breaks {
    type Model = SequenceClassifier;

    fn lengths(&self) -> Vec<usize> {
        self.inner.lengths()
    }

    fn loss(
        &self,
        model: &SequenceClassifier,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError> {
        let second = std::thread::current().name() == Some("device 1");
        if second && self.losses.fetch_add(1, Ordering::SeqCst) == self.at {
            panic!("the line is dead");
        }
        self.inner.loss(model, examples, device, pass)
    }

    fn evaluate(
        &self,
        spread: &Spread<SequenceClassifier>,
        stop: &Stop,
    ) -> Result<Option<Scores>, TrainError> {
        self.inner.evaluate(spread, stop)
    }

    fn headline(&self) -> Measure {
        self.inner.headline()
    }
}

#[test]
fn a_device_that_dies_ends_the_run_after_a_checkpoint_and_the_others_go_on() {
    let runs = Runs::new();
    on(&runs.dir("unbroken"), 0, false).unwrap();
    let dir = runs.dir("broken");
    let breaks = Breaks {
        inner: task(),
        losses: AtomicUsize::new(0),
        at: 36,
    };
    let how = How {
        further: 2,
        ..How::default()
    };
    let error = run_task(&dir, &fifty(), &breaks, how).unwrap_err();
    let TrainError::Run(RunError::Device {
        place,
        problem,
        kept,
        ..
    }) = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*place, problem.as_str()), (1, "the line is dead"));
    // Two batches a step: the 37th loss is of step 18.
    let checkpoint = Checkpoints::new(&dir, 1).path(18);
    assert!(
        checkpoint.exists() && kept.contains("checkpoint-18"),
        "{kept}"
    );
    on(&dir, 1, true).unwrap();
    assert_same(&losses(&dir), &losses(&runs.dir("unbroken")));
}
