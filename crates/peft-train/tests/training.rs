//! The training loop on a tiny BERT: repeatable, resumable, careful with bad numbers.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod tiny_run;

use peft_train::log::read_log;
use peft_train::schedule::{ScheduleKind, Warmup};
use peft_train::{LOG_FILE, RunError, Select, TrainError, TrainOptions};
use tiny_run::{Kill, Rate, Runs, adapter, alone, options, run, run_with};

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let _alone = alone();
    let runs = Runs::new();
    let train = |name: &str, seed| {
        run(
            &runs.dir(name),
            &TrainOptions { seed, ..options() },
            false,
            vec![],
        )
        .unwrap();
        adapter(&runs.dir(name))
    };
    let first = train("a", 1);
    assert_eq!(first, train("b", 1));
    assert_ne!(first, train("c", 2));
}

#[test]
fn a_run_killed_three_times_ends_with_the_bytes_of_an_unbroken_one() {
    let _alone = alone();
    let runs = Runs::new();
    let unbroken = run(&runs.dir("unbroken"), &options(), false, vec![]).unwrap();
    for (resume, at) in [(false, 7), (true, 13), (true, 16)] {
        let dir = runs.dir("broken");
        let killed =
            std::panic::catch_unwind(|| run(&dir, &options(), resume, vec![Box::new(Kill { at })]));
        assert!(killed.is_err(), "the run went past step {at}");
    }
    let resumed = run(&runs.dir("broken"), &options(), true, vec![]).unwrap();
    assert_eq!(adapter(&runs.dir("unbroken")), adapter(&runs.dir("broken")));
    assert_eq!(unbroken.steps, resumed.steps);
    assert_eq!(unbroken.scores, resumed.scores);
    let steps = |name: &str| -> Vec<_> {
        let log = read_log(&runs.dir(name).join(LOG_FILE)).unwrap();
        log.iter()
            .map(|r| (r["kind"].clone(), r["step"].clone(), r["loss"].clone()))
            .collect()
    };
    assert_eq!(
        steps("unbroken"),
        steps("broken"),
        "the logs tell the same story"
    );
}

#[test]
fn training_learns_and_the_log_follows_the_schedule() {
    let _alone = alone();
    let runs = Runs::new();
    let options = TrainOptions {
        epochs: 20,
        schedule: ScheduleKind::Linear,
        warmup: Warmup::Steps(10),
        ..options()
    };
    let report = run(&runs.dir("a"), &options, false, vec![]).unwrap();
    let accuracy = report.scores.unwrap().metrics["accuracy"];
    assert!(
        accuracy > 0.8,
        "{accuracy}; always answering the larger class gives 0.675"
    );
    assert_eq!(report.steps, 160);
    let log = read_log(&runs.dir("a").join(LOG_FILE)).unwrap();
    let rates: Vec<f64> = log
        .iter()
        .filter(|r| r["kind"] == "train")
        .map(|r| r["lr"].as_f64().unwrap())
        .collect();
    assert_eq!(rates.len(), 160);
    assert_eq!(rates[0], 0.0);
    assert!((rates[5] - 5e-3).abs() < 1e-12);
    assert!((rates[10] - 1e-2).abs() < 1e-12);
    assert!((rates[85] - 5e-3).abs() < 1e-12);
    assert!(
        log.iter()
            .all(|r| r["kind"] != "train" || r["grad_norm"].as_f64().unwrap() > 0.0)
    );
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint() {
    let _alone = alone();
    let runs = Runs::new();
    let dir = runs.dir("a");
    let poison = Rate {
        at: 11,
        lr: f64::INFINITY,
    };
    let error = run(&dir, &options(), false, vec![Box::new(poison)]).unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::Run(RunError::LossNotFinite { step: 12, .. })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("checkpoint-10"), "{error}");
    let good = peft_core::file::read_tensors(&dir.join("checkpoint-10/adapter_model.safetensors"))
        .unwrap();
    peft_core::file::check_finite(&good).unwrap();
    assert!(
        !dir.join("adapter_model.safetensors").exists(),
        "no final adapter is written"
    );
    run(&dir, &options(), true, vec![]).unwrap();
}

#[test]
fn early_stopping_ends_with_the_best_weights() {
    let _alone = alone();
    let runs = Runs::new();
    let options = TrainOptions {
        epochs: 50,
        lr: 1e-30,
        eval_every: Some(2),
        patience: Some(2),
        select: Select::Best,
        ..options()
    };
    let report = run(&runs.dir("a"), &options, false, vec![]).unwrap();
    assert!(report.stopped_early);
    assert_eq!(
        (report.steps, report.best_step, report.selected_step),
        (6, Some(2), 2)
    );
    let best = runs.dir("a").join("checkpoint-2/adapter_model.safetensors");
    assert_eq!(adapter(&runs.dir("a")), std::fs::read(best).unwrap());
}

#[test]
fn accumulated_batches_make_the_step_of_one_large_batch() {
    let _alone = alone();
    let runs = Runs::new();
    let first_step = |name: &str, batch_size, accumulation| {
        let options = TrainOptions {
            batch_size,
            accumulation,
            max_steps: Some(1),
            group_by_length: false,
            ..options()
        };
        run_with(&runs.dir(name), &options, false, vec![], 0.0).unwrap();
        let log = read_log(&runs.dir(name).join(LOG_FILE)).unwrap();
        (
            log[0]["loss"].as_f64().unwrap(),
            log[0]["grad_norm"].as_f64().unwrap(),
        )
    };
    let (large, small) = (first_step("large", 16, 1), first_step("small", 4, 4));
    assert!(
        (large.0 / small.0 - 1.0).abs() < 1e-5,
        "loss {large:?} against {small:?}"
    );
    assert!(
        (large.1 / small.1 - 1.0).abs() < 1e-4,
        "gradient norm {large:?} against {small:?}"
    );
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let _alone = alone();
    let runs = Runs::new();
    run(&runs.dir("a"), &options(), false, vec![]).unwrap();
    let other = TrainOptions {
        seed: 9,
        ..options()
    };
    let error = run(&runs.dir("a"), &other, true, vec![]).unwrap_err();
    assert!(
        matches!(error, TrainError::Run(RunError::OtherRun { .. })),
        "{error}"
    );
}

#[test]
fn a_broken_checkpoint_is_named_with_the_way_out() {
    let _alone = alone();
    let runs = Runs::new();
    run(&runs.dir("a"), &options(), false, vec![]).unwrap();
    let state = runs.dir("a").join("checkpoint-24/state.json");
    std::fs::write(&state, "{").unwrap();
    let error = run(&runs.dir("a"), &options(), true, vec![])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("checkpoint-24") && error.contains("remove it"),
        "{error}"
    );
}
