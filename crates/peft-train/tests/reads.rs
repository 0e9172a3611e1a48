//! How often a run waits for its device: once for each record of the log, and in no step.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod tiny_run;

use std::sync::{Arc, Mutex};

use peft_core::reads;
use peft_train::{Callback, Record, Step, TrainOptions};
use tiny_run::{Runs, alone, options, run};

/// What happened, and how often the thread had read by then.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Begun(usize),
    Ended(usize),
    Recorded(usize),
}

struct Watch(Arc<Mutex<Vec<(Event, usize)>>>);

impl Watch {
    fn note(&self, event: Event) {
        self.0.lock().unwrap().push((event, reads()));
    }
}

impl Callback for Watch {
    fn step_begin(&mut self, step: &mut Step) {
        self.note(Event::Begun(step.index));
    }

    fn step_end(&mut self, step: &Step) {
        self.note(Event::Ended(step.index));
    }

    fn recorded(&mut self, record: &Record) {
        self.note(Event::Recorded(record.step.index));
    }
}

#[test]
fn a_run_reads_once_for_each_record_of_the_log() {
    let _alone = alone();
    let runs = Runs::new();
    // Less than an epoch, which ends with an evaluation.
    let options = TrainOptions {
        max_steps: Some(7),
        log_every: 3,
        save_every: None,
        ..options()
    };
    let events = Arc::new(Mutex::new(Vec::new()));
    let watch: Box<dyn Callback> = Box::new(Watch(Arc::clone(&events)));
    run(&runs.dir("run"), &options, false, vec![watch]).unwrap();
    let events = events.lock().unwrap();
    let mut before = events[0].1;
    let mut records = Vec::new();
    for (event, count) in events.iter() {
        match event {
            Event::Recorded(step) => {
                records.push(*step);
                assert_eq!(count - before, 1, "{event:?} in {events:?}");
            }
            _ => assert_eq!(count - before, 0, "{event:?} in {events:?}"),
        }
        before = *count;
    }
    assert_eq!(records.len(), 3, "{records:?}");
}
