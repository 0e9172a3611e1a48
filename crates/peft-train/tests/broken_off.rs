//! Runs that end before their time: asked to stop, or with numbers that are none.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod tiny_run;

use std::path::Path;

use peft_train::log::read_log;
use peft_train::{
    Callback, Checkpoints, LOG_FILE, RunError, Step, Stop, TrainError, TrainOptions, TrainReport,
};
use serde_json::Value;
use tiny_run::{Rate, Runs, adapter, alone, options, run, run_until};

/// Asks to stop at the end of one step.
struct Ask {
    at: usize,
    stop: Stop,
}

impl Callback for Ask {
    fn step_end(&mut self, step: &Step) {
        if step.index + 1 == self.at {
            self.stop.ask();
        }
    }
}

fn stopped_at(dir: &Path, options: &TrainOptions, resume: bool, at: usize) -> TrainError {
    let stop = Stop::default();
    let ask = Ask {
        at,
        stop: stop.clone(),
    };
    run_until(dir, options, resume, vec![Box::new(ask)], 0.1, stop).unwrap_err()
}

/// The log without its times.
fn log(dir: &Path) -> Vec<Value> {
    let mut records = read_log(&dir.join(LOG_FILE)).unwrap();
    for record in &mut records {
        record.as_object_mut().unwrap().remove("seconds");
    }
    records
}

fn without_times(report: TrainReport) -> TrainReport {
    TrainReport {
        seconds: 0.0,
        ..report
    }
}

#[test]
fn a_run_that_was_asked_to_stop_goes_on_to_the_same_bytes_and_the_same_log() {
    let _alone = alone();
    let runs = Runs::new();
    // Steps 8 and 16 end an epoch: their evaluation is pending. Windows of the log do not end where the run stops.
    let options = TrainOptions {
        log_every: 5,
        patience: Some(9),
        ..options()
    };
    let whole = run(&runs.dir("whole"), &options, false, vec![]).unwrap();
    let dir = runs.dir("broken");
    for (resume, at) in [(false, 3), (true, 8), (true, 9), (true, 24)] {
        let error = stopped_at(&dir, &options, resume, at);
        let checkpoint = Checkpoints::new(&dir, 1).path(at);
        assert!(checkpoint.exists());
        assert!(
            matches!(&error, TrainError::Run(RunError::Interrupted { step, checkpoint: path })
                if *step == at && *path == checkpoint),
            "{error}"
        );
    }
    let resumed = run(&dir, &options, true, vec![]).unwrap();
    assert_eq!(without_times(resumed), without_times(whole));
    assert!(adapter(&dir) == adapter(&runs.dir("whole")));
    assert_eq!(log(&dir), log(&runs.dir("whole")));
}

#[test]
fn a_checkpoint_that_lacks_a_file_counts_for_nothing_and_goes() {
    let _alone = alone();
    let runs = Runs::new();
    let dir = runs.dir("a");
    run(&dir, &options(), false, vec![]).unwrap();
    let last = adapter(&dir);
    let checkpoints = Checkpoints::new(&dir, 2);
    assert_eq!(checkpoints.steps().unwrap(), [20, 24]);
    let path = |step: usize| checkpoints.path(step);
    std::fs::remove_file(path(24).join("adapter_model.safetensors")).unwrap();
    std::fs::create_dir(path(22)).unwrap();
    std::fs::create_dir(dir.join(".checkpoint-21.partial")).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [20]);
    let report = run(&dir, &options(), true, vec![]).unwrap();
    assert_eq!(report.steps, 24);
    assert!(adapter(&dir) == last);
    assert_eq!(checkpoints.steps().unwrap(), [20, 24]);
    assert!(!path(22).exists() && !dir.join(".checkpoint-21.partial").exists());
}

#[test]
fn weights_that_give_no_finite_loss_reach_no_checkpoint_and_no_end() {
    let _alone = alone();
    let runs = Runs::new();
    let poison = |at, lr| -> Vec<Box<dyn Callback>> { vec![Box::new(Rate { at, lr })] };
    for (name, at, lr, step, good) in [
        ("huge", 9, 1e38, 10, Some(5)),
        ("infinite", 9, f64::INFINITY, 10, Some(5)),
        ("first", 0, 1e38, 1, None),
        ("last", 23, 1e38, 24, Some(20)),
    ] {
        let dir = runs.dir(name);
        let error = run(&dir, &options(), false, poison(at, lr)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("step {step}: ")), "{name}: {text}");
        let named = match good {
            Some(step) => format!("checkpoint-{step} is the last good checkpoint"),
            None => "there is no good checkpoint".into(),
        };
        assert!(text.contains(&named), "{name}: {text}");
        let steps = Checkpoints::new(&dir, 2).steps().unwrap();
        assert_eq!(steps.last().copied(), good, "{name}");
        assert!(!dir.join("adapter_model.safetensors").exists(), "{name}");
    }
}

#[test]
fn a_run_is_made_longer_but_not_shorter() {
    let _alone = alone();
    let runs = Runs::new();
    let constant = |epochs| TrainOptions {
        epochs,
        schedule: peft_train::schedule::ScheduleKind::Constant,
        ..options()
    };
    run(&runs.dir("whole"), &constant(3), false, vec![]).unwrap();
    let dir = runs.dir("a");
    run(&dir, &constant(2), false, vec![]).unwrap();
    let report = run(&dir, &constant(3), true, vec![]).unwrap();
    assert_eq!(report.steps, 24);
    assert!(adapter(&dir) == adapter(&runs.dir("whole")));
    let error = run(&dir, &constant(2), true, vec![]).unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::Run(RunError::Shorter {
                before: 24,
                now: 16
            })
        ),
        "{error}"
    );
}
