//! Ctrl-C and SIGTERM: the step is finished, a checkpoint is written, and the run goes on to the same bytes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use binary::place::{LORA_DROP, Place};
use binary::{owned, spawn, stdout, words};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

struct Run {
    args: Vec<String>,
    out: PathBuf,
}

impl Run {
    fn new(place: &Place, out: &str, more: &[&str]) -> Self {
        let how = ["--batch-size", "4", "--epochs", "6", "--lr", "5e-3"];
        Self {
            args: place.judged(out, &[&how[..], more].concat(), owned),
            out: place.path(out).into(),
        }
    }

    fn whole(&self, more: &[&str]) -> String {
        stdout(&[&words(&self.args)[..], more].concat())
    }

    /// Sends `signal` as soon as `when` is true of the folder.
    fn stopped(&self, more: &[&str], signal: &str, when: impl Fn(&Path) -> bool) -> Output {
        let child = spawn(&[&words(&self.args)[..], more].concat(), Stdio::piped);
        let since = Instant::now();
        while !when(&self.out) {
            assert!(since.elapsed() < PATIENCE, "the moment never came");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(binary::signal(&child, signal));
        child.wait_with_output().unwrap()
    }

    fn adapter(&self) -> Vec<u8> {
        fs::read(self.out.join("adapter_model.safetensors")).unwrap()
    }

    /// The log without the times.
    fn log(&self) -> Vec<serde_json::Value> {
        let mut records = peft_train::log::read_log(&self.out.join("train_log.jsonl")).unwrap();
        for record in &mut records {
            record.as_object_mut().unwrap().remove("seconds");
        }
        records
    }
}

/// Whether the log has a record of this kind at this step, or a later one.
fn logged(kind: &'static str, step: u64) -> impl Fn(&Path) -> bool {
    move |out| {
        let log = peft_train::log::read_log(&out.join("train_log.jsonl"));
        log.is_ok_and(|log| {
            log.iter()
                .any(|record| record["kind"] == kind && record["step"].as_u64() >= Some(step))
        })
    }
}

fn assert_said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    for part in ["stopped after step", "go on with: ", "--resume"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(output.stdout.is_empty(), "what is printed is a result");
    said
}

#[test]
fn a_run_that_was_stopped_twice_ends_with_the_bytes_of_an_unbroken_one() {
    let place = Place::new();
    let every = ["--set", "train.log_every=1"];
    let whole = Run::new(&place, "whole", &every);
    whole.whole(&[]);
    let run = Run::new(&place, "run", &every);
    let said = assert_said(&run.stopped(&[], "-INT", logged("train", 5)));
    assert!(said.contains("checkpoint-"), "{said}");
    assert_said(&run.stopped(&["--resume", "--json"], "-TERM", logged("train", 40)));
    let said = binary::said(&[&words(&run.args)[..], &["--resume"]].concat());
    assert!(said.contains("resuming from step"), "{said}");
    assert!(run.adapter() == whole.adapter());
    assert_eq!(run.log(), whole.log());
}

#[test]
fn an_evaluation_is_broken_off_and_done_again() {
    let place = Place::new();
    let valid = fs::read_to_string(place.path("valid.jsonl")).unwrap();
    fs::write(place.path("valid.jsonl"), valid.repeat(400)).unwrap();
    let short = ["--max-steps", "3", "--set", "train.log_every=1"];
    let whole = Run::new(&place, "whole", &short);
    whole.whole(&[]);
    let run = Run::new(&place, "run", &short);
    assert_said(&run.stopped(&[], "-INT", logged("train", 3)));
    assert!(
        !logged("eval", 1)(&run.out),
        "the evaluation went on to its end"
    );
    run.whole(&["--resume"]);
    assert!(run.adapter() == whole.adapter());
    assert_eq!(run.log(), whole.log());
}

#[test]
fn lora_drop_can_be_stopped_in_both_of_its_runs() {
    let place = Place::new();
    let how = [&LORA_DROP[..], &["--set", "train.log_every=1"]].concat();
    let whole = Run::new(&place, "whole", &how);
    whole.whole(&[]);
    let run = Run::new(&place, "run", &how);
    let in_warm = logged("train", 3);
    assert_said(&run.stopped(&[], "-INT", |out| in_warm(&out.join("warm"))));
    assert!(!run.out.join("plan.json").exists());
    assert_said(&run.stopped(&["--resume"], "-INT", logged("train", 9)));
    run.whole(&["--resume"]);
    assert!(run.adapter() == whole.adapter());
    let plan = |run: &Run| fs::read(run.out.join("plan.json")).unwrap();
    assert!(plan(&run) == plan(&whole));
}
