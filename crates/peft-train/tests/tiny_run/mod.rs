//! Runs on a tiny BERT, shared by the tests of the training loop.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use peft_core::lora::LORA;
use peft_core::target::TargetRules;
use peft_core::tie::TieGroups;
use peft_core::{AdapterSpec, Procedures, attach};
use peft_models::{ModelConfig, SequenceClassifier, init_classifier};
use peft_train::data::{Encoded, Target};
use peft_train::metric::Metric;
use peft_train::task::{ClassifierTask, Objective, Task, TextSet};
use peft_train::{
    Callback, Session, Setup, Step, Stop, TrainError, TrainOptions, TrainReport, TrainedAdapter,
};
use serde_json::json;

const CONFIG: &str = r#"{"model_type": "bert", "architectures": ["BertForSequenceClassification"],
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "layer_norm_eps": 1e-12, "initializer_range": 0.2, "pad_token_id": 0}"#;

/// Rows of different lengths; the class says whether token 7 occurs.
pub(crate) fn set(rows: usize, offset: usize) -> TextSet {
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

pub(crate) fn task() -> ClassifierTask<SequenceClassifier> {
    ClassifierTask {
        train: set(64, 0),
        valid: Some(set(40, 1000)),
        objective: Objective::Classes(2),
        metrics: vec![Metric::Accuracy.into(), Metric::F1.into()],
        eval_batch_size: 16,
    }
}

pub(crate) fn options() -> TrainOptions {
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
pub(crate) fn run(
    dir: &Path,
    options: &TrainOptions,
    resume: bool,
    callbacks: Vec<Box<dyn Callback>>,
) -> Result<TrainReport, TrainError> {
    run_with(dir, options, resume, callbacks, 0.1)
}

pub(crate) fn run_with(
    dir: &Path,
    options: &TrainOptions,
    resume: bool,
    callbacks: Vec<Box<dyn Callback>>,
    dropout: f64,
) -> Result<TrainReport, TrainError> {
    run_until(dir, options, resume, callbacks, dropout, Stop::default())
}

/// The same, until somebody asks to stop.
pub(crate) fn run_until(
    dir: &Path,
    options: &TrainOptions,
    resume: bool,
    callbacks: Vec<Box<dyn Callback>>,
    dropout: f64,
    stop: Stop,
) -> Result<TrainReport, TrainError> {
    let how = How {
        resume,
        callbacks,
        dropout,
        stop,
        ..How::default()
    };
    run_task(dir, options, &task(), how)
}

/// How a run is made.
#[derive(Default)]
pub(crate) struct How {
    pub resume: bool,
    pub callbacks: Vec<Box<dyn Callback>>,
    pub dropout: f64,
    pub stop: Stop,
    /// Devices beside the first.
    pub further: usize,
}

/// The same of any task of this model.
pub(crate) fn run_task<T: Task<Model = SequenceClassifier>>(
    dir: &Path,
    options: &TrainOptions,
    task: &T,
    how: How,
) -> Result<TrainReport, TrainError> {
    let dropout = how.dropout;
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
        modules_to_save: loaded.head_modules(),
        task_type: Some("SEQ_CLS".into()),
        ..AdapterSpec::default()
    };
    let (model, _) = attach(loaded.model, &loaded.names, "default", &spec, options.seed).unwrap();
    let trained = TrainedAdapter {
        names: loaded.names.clone(),
        spec,
        name: "default".into(),
    };
    let setup = Setup {
        task,
        options,
        trained: &trained,
        names: &loaded.names,
        ties: TieGroups::default(),
        procedures: Procedures::default(),
        fresh: ["weight", "bias"]
            .map(|part| format!("classifier.{part}"))
            .to_vec(),
        callbacks: how.callbacks,
        devices: vec![device; how.further],
        dir: dir.to_owned(),
        fingerprint: format!("seed {}", options.seed),
        stop: how.stop,
    };
    let session = Session::new(setup, model, how.resume)?;
    session.run().map(|(_, report)| report)
}

pub(crate) fn adapter(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("adapter_model.safetensors")).unwrap()
}

/// Runs of one test, each in a directory of its own.
pub(crate) struct Runs(tempfile::TempDir);

impl Runs {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Stops the process's run at one step, as a kill would.
pub(crate) struct Kill {
    pub at: usize,
}

impl Callback for Kill {
    fn step_end(&mut self, step: &Step) {
        assert!(step.index < self.at, "killed at step {}", self.at);
    }
}

/// Sets the learning rate of one step.
pub(crate) struct Rate {
    pub at: usize,
    pub lr: f64,
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

pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    STREAM
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
