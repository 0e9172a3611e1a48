//! Groups of parameters with an optimizer of their own: what it does to a step, and that a broken-off run goes on exactly.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod tiny_run;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use peft_core::file::{HostTensor, read_folder};
use peft_train::schedule::ScheduleKind;
use peft_train::{GroupOptions, HeadRate, OptimizerKind, TrainOptions};
use tiny_run::{Kill, Runs, adapter, alone, options, run, run_with};

fn group(params: &str) -> GroupOptions {
    GroupOptions {
        params: params.into(),
        ..GroupOptions::default()
    }
}

/// The factors `B` and all others after the first step.
fn trained(options: TrainOptions) -> [BTreeMap<String, HostTensor>; 2] {
    let _alone = alone();
    let runs = Runs::new();
    let options = TrainOptions {
        schedule: ScheduleKind::Constant,
        head_lr: HeadRate::Same,
        max_steps: Some(1),
        clip_norm: 0.0,
        ..options
    };
    run_with(&runs.dir("run"), &options, false, vec![], 0.0).unwrap();
    let tensors = read_folder(&runs.dir("run")).unwrap().tensors;
    let (second, others): (BTreeMap<_, _>, BTreeMap<_, _>) = tensors
        .into_iter()
        .partition(|(key, _)| key.contains("lora_B"));
    [second, others]
}

#[test]
fn a_group_is_stepped_by_its_own_optimizer_and_the_others_by_the_runs() {
    let mixed = trained(TrainOptions {
        groups: vec![GroupOptions {
            optimizer: Some(OptimizerKind::Sgd),
            ..group("lora_B.weight")
        }],
        ..options()
    });
    let [adamw, sgd] = [OptimizerKind::AdamW, OptimizerKind::Sgd].map(|optimizer| {
        trained(TrainOptions {
            optimizer,
            ..options()
        })
    });
    assert!(adamw[0] != sgd[0] && adamw[1] != sgd[1]);
    assert_eq!(mixed[0], sgd[0]);
    assert_eq!(mixed[1], adamw[1]);
}

#[test]
fn a_group_has_its_own_weight_decay() {
    let decayed = trained(TrainOptions {
        weight_decay: 0.3,
        groups: vec![GroupOptions {
            weight_decay: Some(0.0),
            ..group("lora_B.weight")
        }],
        ..options()
    });
    let [plain, all] = [0.0, 0.3].map(|weight_decay| {
        trained(TrainOptions {
            weight_decay,
            ..options()
        })
    });
    assert_eq!(decayed[0], plain[0]);
    assert_eq!(decayed[1], all[1]);
    assert_ne!(plain[1], all[1]);
}

#[test]
fn a_broken_off_run_of_two_optimizers_ends_in_the_same_bytes() {
    let _alone = alone();
    let runs = Runs::new();
    let options = TrainOptions {
        momentum: 0.9,
        groups: vec![GroupOptions {
            optimizer: Some(OptimizerKind::Sgd),
            lr: Some(0.1),
            ..group("lora_B.weight")
        }],
        ..options()
    };
    run(&runs.dir("whole"), &options, false, vec![]).unwrap();
    let broken = runs.dir("broken");
    let killed = catch_unwind(AssertUnwindSafe(|| {
        run(&broken, &options, false, vec![Box::new(Kill { at: 12 })])
    }));
    assert!(killed.is_err(), "the run was to be killed");
    run(&broken, &options, true, vec![]).unwrap();
    assert!(adapter(&broken) == adapter(&runs.dir("whole")));
}

#[test]
fn settings_of_an_optimizer_that_only_a_group_has_are_accepted_and_bad_ones_refused() {
    let momentum = TrainOptions {
        momentum: 0.9,
        groups: vec![GroupOptions {
            optimizer: Some(OptimizerKind::Sgd),
            ..group("lora_B.weight")
        }],
        ..options()
    };
    trained(momentum);
    let negative = TrainOptions {
        groups: vec![GroupOptions {
            weight_decay: Some(-1.0),
            ..group("lora_B.weight")
        }],
        ..options()
    };
    let runs = Runs::new();
    let error = run(&runs.dir("run"), &negative, false, vec![]).unwrap_err();
    assert!(error.to_string().contains("groups.weight_decay"), "{error}");
}
