//! A complete tour with nothing but the binary: head-only, full and LoRA fine-tuning, saving, merging, verifying.
//!
//! It walks the same path as a user: the model and the data are written to the disk, runs read them from there.

mod curves;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use burn::module::Module;
use peft_train::TrainOptions;
use peft_train::schedule::Warmup;
use serde::Serialize;

use peft_models::SequenceClassifier;
use peft_run::device;
use peft_run::merge::{Format, Merging, merge_folder};
use peft_run::run::{self, RunFolder, RunOptions};
use peft_run::settings::{AdapterConfig, DataConfig, Names, RunConfig};

use curves::Recorder;
use peft_run::bundled::Places;
use verify::{TestSet, Verification};

/// What is compared: identifier, and peak learning rate.
const METHODS: [(&str, f64); 3] = [("head", 1e-2), ("full", 1e-3), ("lora", 3e-3)];
/// Passes over the training data of every run.
const EPOCHS: usize = 8;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct MethodResult {
    /// `head`, `full` or `lora`.
    pub method: String,
    /// Parameters that trained.
    pub trainable: usize,
    /// All parameters.
    pub total: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Share of right answers on the test data.
    pub accuracy: f64,
    /// Seconds of training, evaluations included.
    pub seconds: f64,
    /// Run directory.
    pub out: PathBuf,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The runs, in order.
    pub methods: Vec<MethodResult>,
    /// Whether what lies on the disk answers as it should.
    pub verification: Verification,
    /// The curves as SVG and PNG.
    pub pictures: Vec<PathBuf>,
    /// Commands that work on what was written.
    pub next: Vec<String>,
    /// Seconds of everything together.
    pub seconds: f64,
}

/// Runs the tour below `out`; `device` as in run files.
///
/// # Errors
/// A directory in use (unless `overwrite`), or whatever goes wrong in a run.
pub fn run(out: &Path, overwrite: bool, device: &str) -> Result<Report> {
    let started = Instant::now();
    let places = Places::new(out);
    let _claim = places.unpack(overwrite)?;
    eprintln!("model and data unpacked into {}", out.display());
    let plain = device::open(device)?;
    let test = TestSet::read(&places.model, &places.test, plain.clone())?;
    let (mut methods, mut pictured, mut trained) = (vec![], vec![], vec![]);
    for (method, lr) in METHODS {
        eprintln!("training: {method}");
        let config = config(&places, method, lr, device);
        let mut recorder = Recorder::default();
        let options = RunOptions {
            overwrite,
            resume: false,
        };
        let folder = RunFolder::open(&config, options)?;
        let (result, model) =
            run::train_texts::<SequenceClassifier>(&config, &folder, &mut recorder)?;
        trained = test.logits(&model.valid())?;
        methods.push(MethodResult {
            method: method.to_owned(),
            trainable: result.parameters.trainable,
            total: result.parameters.total,
            steps: result.report.steps,
            accuracy: test.accuracy(&trained)?,
            seconds: result.report.seconds,
            out: result.out,
        });
        pictured.push((method.to_owned(), recorder.points()));
    }
    let adapter = places.run("lora");
    eprintln!("merging, reading everything back, comparing");
    merge_folder(&Merging {
        model: &places.model,
        adapter: &adapter,
        tokenizer: None,
        out: &places.merged,
        format: Format::Safetensors(None),
        tolerance: None,
        device: &plain,
    })?;
    let verification = Verification::new(&test, &trained, &places.model, &adapter, &places.merged)?;
    let pictures = curves::draw(&pictured, &places.picture())?;
    Ok(Report {
        methods,
        verification,
        pictures: pictures.to_vec(),
        next: next(&places, out),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn config(places: &Places, method: &str, lr: f64, device: &str) -> RunConfig {
    RunConfig {
        model: places.model.clone(),
        out: places.run(method),
        device: device.to_owned(),
        data: DataConfig {
            train: places.train.clone(),
            valid: Some(places.valid.clone()),
            ..DataConfig::default()
        },
        adapter: AdapterConfig {
            method: method.to_owned(),
            rank: 8,
            targets: Some(Names::Text("all-linear".into())),
            ..AdapterConfig::default()
        },
        train: TrainOptions {
            epochs: EPOCHS,
            lr,
            warmup: Warmup::Ratio(0.1),
            save_every: Some(1_000_000),
            ..TrainOptions::default()
        },
        ..RunConfig::default()
    }
}

fn next(places: &Places, out: &Path) -> Vec<String> {
    let (model, adapter, merged) = (&places.model, places.run("lora"), &places.merged);
    vec![
        format!(
            "peft eval --model {} --adapter {} --data {}",
            model.display(),
            adapter.display(),
            places.test.display()
        ),
        format!(
            "peft predict --model {} --data {}",
            merged.display(),
            places.test.display()
        ),
        format!(
            "peft train {} --rank 2 --out {}",
            adapter.join(run::RUN_FILE).display(),
            out.join("lora-rank-2").display()
        ),
    ]
}
