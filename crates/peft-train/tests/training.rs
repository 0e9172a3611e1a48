//! The training loop on a tiny BERT: repeatable, resumable, careful with bad numbers.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use peft_core::gradient::Chain;
use peft_core::lora::LORA;
use peft_core::target::TargetRules;
use peft_core::tie::TieGroups;
use peft_core::{AdapterSpec, attach};
use peft_models::{ModelConfig, init_classifier};
use peft_train::data::{Encoded, Target};
use peft_train::log::read_log;
use peft_train::metric::Metric;
use peft_train::schedule::{ScheduleKind, Warmup};
use peft_train::task::{Objective, SequenceTask, TextSet};
use peft_train::{
    Callback, LOG_FILE, Select, Step, TrainError, TrainOptions, TrainReport, TrainedAdapter,
    Trainer,
};
use serde_json::json;

const CONFIG: &str = r#"{"model_type": "bert", "architectures": ["BertForSequenceClassification"],
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "layer_norm_eps": 1e-12, "initializer_range": 0.2, "pad_token_id": 0}"#;

/// Rows of different lengths; the class says whether token 7 occurs.
fn set(rows: usize, offset: usize) -> TextSet {
    let mut set = TextSet::default();
    for row in offset..offset + rows {
        let length = 4 + row * 7 % 9;
        let class = row * 5 % 3 % 2;
        let mut ids: Vec<u32> = (0..length)
            .map(|at| (8 + (row * 13 + at * 17) % 32) as u32)
            .collect();
        ids[0] = 2;
        if class == 1 {
            ids[1 + row % (length - 1)] = 7;
        }
        let type_ids = vec![0; ids.len()];
        set.encoded.push(Encoded { ids, type_ids });
        set.targets.push(Target::Class(class));
    }
    set
}

fn task() -> SequenceTask {
    SequenceTask {
        train: set(64, 0),
        valid: Some(set(40, 1000)),
        pad_id: 0,
        objective: Objective::Classes(2),
        metrics: vec![Metric::Accuracy, Metric::F1],
        eval_batch_size: 16,
    }
}

fn options() -> TrainOptions {
    TrainOptions {
        epochs: 3,
        batch_size: 8,
        lr: 1e-2,
        save_every: Some(5),
        log_every: 1,
        ..TrainOptions::default()
    }
}

/// One run, in `dir`, on a model built from nothing but the seed, with dropout in base and adapter.
fn run(
    dir: &Path,
    options: &TrainOptions,
    resume: bool,
    callbacks: Vec<Box<dyn Callback>>,
) -> Result<TrainReport, TrainError> {
    run_with(dir, options, resume, callbacks, 0.1)
}

fn run_with(
    dir: &Path,
    options: &TrainOptions,
    resume: bool,
    callbacks: Vec<Box<dyn Callback>>,
    dropout: f64,
) -> Result<TrainReport, TrainError> {
    std::fs::create_dir_all(dir).unwrap();
    let device = Device::default().autodiff();
    let config = ModelConfig::parse(Path::new("config.json"), CONFIG).unwrap();
    let config = config
        .with_field("hidden_dropout_prob", dropout.into())
        .with_field("attention_probs_dropout_prob", dropout.into());
    let loaded = init_classifier(config, 5, &device).unwrap();
    let spec = AdapterSpec {
        method: (LORA.from_options)(json!({"dropout": dropout}).as_object().unwrap()).unwrap(),
        rank: 4,
        alpha: 8.0,
        targets: TargetRules::list(["query", "value"]),
        rank_pattern: [].into(),
        alpha_pattern: [].into(),
        modules_to_save: loaded.head_modules(),
        task_type: Some("SEQ_CLS".into()),
        base_model: None,
    };
    let (model, _) = attach(loaded.model, &loaded.names, "default", &spec, options.seed).unwrap();
    let trained = TrainedAdapter {
        names: loaded.names.clone(),
        spec,
        name: "default".into(),
    };
    let mut trainer = Trainer {
        task: &task(),
        options,
        trained: &trained,
        names: &loaded.names,
        ties: TieGroups::default(),
        transforms: Chain::default(),
        callbacks,
        dir: dir.to_owned(),
        fingerprint: format!("seed {}", options.seed),
    };
    trainer.run(model, resume).map(|(_, report)| report)
}

fn adapter(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("adapter_model.safetensors")).unwrap()
}

/// Runs of one test, each in a directory of its own.
struct Runs(tempfile::TempDir);

impl Runs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Stops the process's run at one step, as a kill would.
struct Kill {
    at: usize,
}

impl Callback for Kill {
    fn step_end(&mut self, step: &Step) {
        assert!(step.index < self.at, "killed at step {}", self.at);
    }
}

/// Sets the learning rate of one step.
struct Rate {
    at: usize,
    lr: f64,
}

impl Callback for Rate {
    fn step_begin(&mut self, step: &mut Step) {
        if step.index == self.at {
            step.lr = self.lr;
        }
    }
}

// Seeds of the device's random stream are global to the process, so the tests that depend on dropout run one after the
// other.
static STREAM: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    STREAM
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

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
    assert!(accuracy > 0.8, "{accuracy}; always answering the larger class gives 0.675");
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
        matches!(error, TrainError::LossNotFinite { step: 12, .. }),
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
    assert!(matches!(error, TrainError::OtherRun { .. }), "{error}");
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
