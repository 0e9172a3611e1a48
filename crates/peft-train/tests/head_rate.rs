//! The learning rate of a new output layer: what takes it, what it does to the first step, and who is told.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod tiny_run;

use peft_core::file::read_folder;
use peft_train::schedule::ScheduleKind;
use peft_train::{GroupOptions, HeadRate, NEW_HEAD_RATE, OptimizerKind, TrainError, TrainOptions};
use tiny_run::{Runs, alone, options, run_with};

/// How far the head and the factors B moved in one step of AdamW, whose first step moves every number by its rate.
fn moved(options: TrainOptions) -> Result<(f32, f32), TrainError> {
    let _alone = alone();
    let runs = Runs::new();
    let step = |name: &str, options: &TrainOptions| {
        run_with(&runs.dir(name), options, false, vec![], 0.0)?;
        Ok::<_, TrainError>(read_folder(&runs.dir(name)).unwrap().tensors)
    };
    let options = TrainOptions {
        schedule: ScheduleKind::Constant,
        max_steps: Some(1),
        ..options
    };
    let after = step("run", &options)?;
    let still = TrainOptions {
        lr: 1e-12,
        head_lr: HeadRate::Same,
        groups: vec![],
        ..options
    };
    let before = step("still", &still)?;
    let furthest = |part: &str| {
        let tensors = after.iter().filter(|(key, _)| key.contains(part));
        let differences = tensors.flat_map(|(key, tensor)| {
            let old = &before[key];
            tensor
                .data
                .iter()
                .zip(&old.data)
                .map(|(a, b)| (a - b).abs())
        });
        differences.fold(0.0, f32::max)
    };
    Ok((furthest("classifier.weight"), furthest("lora_B")))
}

fn close(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() < 0.01 * expected
}

#[test]
fn a_new_head_takes_its_own_rate_and_the_factors_the_runs() {
    for (lr, head_lr, expected) in [
        (1e-3, HeadRate::Auto, NEW_HEAD_RATE),
        (2.0 * NEW_HEAD_RATE, HeadRate::Auto, 2.0 * NEW_HEAD_RATE),
        (1e-3, HeadRate::Same, 1e-3),
        (1e-3, HeadRate::Rate(7e-3), 7e-3),
    ] {
        let (head, factors) = moved(TrainOptions {
            lr,
            head_lr,
            ..options()
        })
        .unwrap();
        assert!(close(head, expected), "{head_lr:?}: {head}");
        assert!(close(factors, lr), "{head_lr:?}: {factors}");
    }
}

#[test]
fn a_group_that_names_the_head_wins() {
    let group = GroupOptions {
        params: "classifier.weight".into(),
        lr: Some(5e-3),
        ..GroupOptions::default()
    };
    let (head, factors) = moved(TrainOptions {
        lr: 1e-3,
        groups: vec![group],
        ..options()
    })
    .unwrap();
    assert!(
        close(head, 5e-3) && close(factors, 1e-3),
        "{head} {factors}"
    );
}

#[test]
fn sgd_has_one_rate_unless_it_is_told_otherwise() {
    let sgd = |head_lr| {
        let (head, _) = moved(TrainOptions {
            lr: 1e-3,
            optimizer: OptimizerKind::Sgd,
            head_lr,
            ..options()
        })
        .unwrap();
        f64::from(head)
    };
    let same = sgd(HeadRate::Same);
    assert!(same > 0.0 && (sgd(HeadRate::Auto) - same).abs() < 1e-9);
    let tenfold = sgd(HeadRate::Rate(1e-2)) / same;
    assert!((tenfold - 10.0).abs() < 0.1, "{tenfold}");
}

#[test]
fn rates_that_are_none_and_settings_without_effect_are_refused_by_name() {
    let whole_head = GroupOptions {
        params: r"classifier\..*".into(),
        lr: Some(1e-2),
        ..GroupOptions::default()
    };
    let of_group = TrainOptions {
        head_lr: HeadRate::Rate(1e-2),
        groups: vec![whole_head],
        ..options()
    };
    let zero = TrainOptions {
        head_lr: HeadRate::Rate(0.0),
        ..options()
    };
    let momentum = TrainOptions {
        momentum: 0.9,
        ..options()
    };
    let beta = TrainOptions {
        optimizer: OptimizerKind::Sgd,
        beta2: 0.95,
        ..options()
    };
    for (options, words) in [
        (of_group, ["head_lr", "train.groups"]),
        (zero, ["head_lr", "positive"]),
        (momentum, ["momentum", "sgd"]),
        (beta, ["beta2", "adamw"]),
    ] {
        let error = moved(options).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }
}
