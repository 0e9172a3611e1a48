//! A training run from its settings: data, model, adapter, training, results.

mod announce;
mod causal;
mod classification;
mod digest;
pub mod expert_use;
mod identity;
mod kind;
pub mod lora_drop;
mod part;
mod rates;
mod record;
mod run_folder;
pub mod start;
mod survey;
pub mod timing;

use std::collections::HashSet;
use std::path::PathBuf;

use burn::module::Module;
use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_core::file::{FileError, remove_file, write_atomic};
use peft_core::{
    Adaptable, ParamNames, ParameterCount, attach, count, folder, mark_trainable,
    require_saved_modules, saved_modules, values,
};
use peft_models::hf::save_model;
use peft_models::{DecoderClassifier, Loaded, ModelConfig, ModelKind, SequenceClassifier};
use peft_moe::start_experts;
use peft_train::data::DataAccount;
use peft_train::task::Task;
use peft_train::{Session, Setup, TrainReport, TrainedAdapter, TrainedWeights};
use serde::Serialize;

use crate::companions::Companions;
use crate::error::Context;
use crate::settings::{RunConfig, TaskKind};
use crate::watch::Watch;
use crate::{Error, Result, adapter_spec, device};

pub use classification::train_texts;
pub use kind::kind;
use part::Part;
pub use run_folder::RunFolder;

/// Name under which a run attaches its adapter; Python PEFT calls it so too.
pub const ADAPTER: &str = "default";
/// Label names beside an adapter.
pub const LABELS_FILE: &str = "labels.json";
/// Resolved settings of a run.
pub const RUN_FILE: &str = "run.toml";
/// Figures of a finished run.
pub const RESULTS_FILE: &str = "results.json";

/// The plan of a run, in its folder.
const PLAN_FILE: &str = "plan.json";
/// The run that is measured, below the folder of the run.
const WARM_FOLDER: &str = "warm";

/// How a run treats what is already there.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// Write into a directory that is not empty.
    pub overwrite: bool,
    /// Continue from the last checkpoint.
    pub resume: bool,
}

/// What a run ended with.
#[derive(Debug, Clone, Serialize)]
pub struct RunResult {
    /// Identifier of the method, `head` or `full`.
    pub method: String,
    /// Run directory: an adapter folder, or a model folder for `head` and `full`.
    pub out: PathBuf,
    /// Parameters that trained, and all.
    pub parameters: ParameterCount,
    /// Training examples.
    pub examples: usize,
    /// Examples cut to the maximum length.
    pub truncated: usize,
    /// What became of the data.
    pub data: DataAccount,
    /// Steps, seconds, scores.
    #[serde(flatten)]
    pub report: TrainReport,
    /// Largest resident memory of the process so far, in MiB, where the system tells.
    pub peak_memory_mib: Option<u64>,
}

/// What became of a run.
#[derive(Debug)]
pub enum Outcome {
    /// It trained.
    Trained(Box<RunResult>),
    /// It was finished before, and ended with these results.
    Finished(serde_json::Value),
}

/// Runs the training that `config` describes.
///
/// # Errors
/// Whatever is wrong with the settings, the data, the model or the disk. Before the first step nothing is written;
/// afterwards checkpoints stay.
pub fn train(config: &RunConfig, options: RunOptions, watch: &mut dyn Watch) -> Result<Outcome> {
    check_paths(config)?;
    let folder = RunFolder::open(config, options)?;
    if folder.is_finished() {
        let path = config.out.join(RESULTS_FILE);
        let text = read_plain_text(&path, CONFIG_LIMIT).map_err(FileError::io("read", &path))?;
        return Ok(Outcome::Finished(serde_json::from_str(&text)?));
    }
    let result = (config.compute).run(&config.device, || match lora_drop::finds_out(config) {
        true => lora_drop::whole(config, &folder, watch),
        false => by_task(config, &folder, watch),
    })?;
    Ok(Outcome::Trained(Box::new(result)))
}

/// Trains by what the settings say, with nothing to be found out first.
fn by_task(config: &RunConfig, folder: &RunFolder<'_>, watch: &mut dyn Watch) -> Result<RunResult> {
    let kind = kind(config)?;
    match config.task {
        TaskKind::SeqCls | TaskKind::Regression => {
            if matches!(kind, ModelKind::Causal | ModelKind::DecoderTexts) {
                return Ok(train_texts::<DecoderClassifier>(config, folder, watch)?.0);
            }
            Ok(train_texts::<SequenceClassifier>(config, folder, watch)?.0)
        }
        TaskKind::ImageCls => classification::train_images(config, folder, watch),
        TaskKind::CausalLm => Ok(causal::train_model(config, folder, watch)?.0),
    }
}

/// A model with the data that it is to learn from.
struct Prepared<M> {
    loaded: Loaded<M>,
    /// Modules that are trained and saved with an adapter.
    head_modules: Vec<String>,
    examples: usize,
    account: DataAccount,
    /// Every training example as text, by which a run that goes on knows them.
    data: Vec<String>,
    /// Names of the classes, where there are such.
    labels: Option<Vec<String>>,
}

/// Trains the prepared model on a task, writes everything but what the task alone knows, and returns the model.
fn execute<T: Task>(
    config: &RunConfig,
    run_folder: &RunFolder<'_>,
    watch: &mut dyn Watch,
    task: &T,
    prepared: Prepared<T::Model>,
) -> Result<(RunResult, T::Model)> {
    let loaded = prepared.loaded;
    describe(&loaded, &prepared.account);
    let made = (loaded.model, &loaded.names, &prepared.head_modules[..]);
    let (model, part) = survey::make_trainable(config, run_folder, task, made)?;
    let ties = part.ties(&model)?;
    let parameters = count(&model, &ties.followers());
    log::info!("{parameters}");
    let examples = identity::digest_of(&prepared.data);
    run_folder.check_examples(&examples)?;
    let setup = Setup {
        task,
        options: &config.train,
        trained: part.trained(),
        names: &loaded.names,
        ties,
        procedures: config.steering()?,
        fresh: afresh(config, loaded.fresh),
        stop: watch.stop(),
        callbacks: watch.callbacks(config),
        devices: device::further(&config.device)?,
        dir: config.out.clone(),
        fingerprint: run_folder.fingerprint(),
    };
    rates::announce(&setup, &model)?;
    let session = Session::new(setup, model, run_folder.resumes())?;
    run_folder.begin(Some(&examples))?;
    write_labels(config, prepared.labels.as_deref())?;
    announce::announce(config, run_folder, &session);
    let (model, report) = session.run()?;
    if let Part::Weights(weights) = &part {
        write_full_model(config, &model, weights, &loaded.config)?;
    }
    // What was learnt belongs to the tokens and the template that it was learnt with.
    Companions::of_run(config)?.carry(&config.out)?;
    if let Part::Adapter(adapter) = &part
        && adapter.spec.method.routes()
    {
        expert_use::write(config, task, &model)?;
    }
    let result = RunResult {
        method: config.adapter.method.clone(),
        out: config.out.clone(),
        parameters,
        examples: prepared.examples,
        truncated: prepared.account.cut_rows(),
        data: prepared.account,
        report,
        peak_memory_mib: crate::memory::peak_mib(),
    };
    write_results(config, &result)?;
    run_folder.finish()?;
    Ok((result, model))
}

fn write_results(config: &RunConfig, result: &RunResult) -> Result<()> {
    let text = serde_json::to_string_pretty(result)?;
    Ok(write_atomic(
        &config.out.join(RESULTS_FILE),
        text.as_bytes(),
    )?)
}

/// What is said before anything is attached.
fn describe<M>(loaded: &Loaded<M>, account: &DataAccount) {
    log::info!("{account}");
    if !loaded.fresh.is_empty() {
        log::info!("starting afresh: {}", loaded.fresh.join(", "));
    }
}

/// What starts afresh, of what the model's files lack: not a head that comes with the adapter that a run starts from.
fn afresh(config: &RunConfig, lacking: Vec<String>) -> Vec<String> {
    match config.adapter.start {
        Some(_) => vec![],
        None => lacking,
    }
}

fn write_labels(config: &RunConfig, labels: Option<&[String]>) -> Result<()> {
    if let Some(labels) = labels {
        let labels = serde_json::to_string(labels)?;
        write_atomic(&config.out.join(LABELS_FILE), labels.as_bytes())?;
    }
    Ok(())
}

fn make_trainable<M: Adaptable>(
    config: &RunConfig,
    mut model: M,
    names: &ParamNames,
    head_modules: &[String],
) -> Result<(M, Part)> {
    let given = &config.adapter;
    if matches!(given.method.as_str(), "full" | "head") && given.start.is_some() {
        return Err(Error::Usage(format!(
            "adapter.start: method `{}` has no adapter to start from a folder",
            given.method
        )));
    }
    let ids: HashSet<_> = match given.method.as_str() {
        "full" => names.iter().map(|(id, _, _)| id).collect(),
        "head" => saved_modules(names, head_modules).0.into_iter().collect(),
        _ => {
            let mut spec = adapter_spec::build(config, head_modules)?;
            if given.start.is_none() {
                require_saved_modules(names, &spec.modules_to_save)?;
            }
            let from = given.start.as_deref();
            let from = from.map(|from| start::make_room(&mut model, names, &mut spec, from));
            let from = from.transpose()?;
            if !given.experts_from.is_empty() && !spec.method.routes() {
                return Err(Error::Usage(format!(
                    "adapter.experts_from: method `{}` has no experts",
                    given.method
                )));
            }
            let (model, report) = attach(model, names, ADAPTER, &spec, config.train.seed)?;
            let unmatched: Vec<String> = report.unmatched.iter().map(ToString::to_string).collect();
            if given.strict && !unmatched.is_empty() {
                return Err(Error::Usage(unmatched.join("\n")));
            }
            unmatched.iter().for_each(|entry| log::warn!("{entry}"));
            let model = match from {
                Some(from) => folder::start(model, names, ADAPTER, &spec, from)
                    .context("starting from another adapter (adapter.start)")?,
                None => model,
            };
            let model = start_experts(model, ADAPTER, &given.experts_from)
                .context("starting experts (adapter.experts_from)")?;
            let adapter = TrainedAdapter {
                names: names.clone(),
                spec,
                name: ADAPTER.into(),
            };
            return Ok((model, Part::Adapter(Box::new(adapter))));
        }
    };
    let weights = TrainedWeights {
        names: names.clone(),
        ids,
    };
    Ok((mark_trainable(model, &weights.ids), Part::Weights(weights)))
}

fn check_paths(config: &RunConfig) -> Result<()> {
    let missing: Vec<&str> = [
        ("model", config.model.as_os_str().is_empty()),
        (
            "data.train (--train)",
            config.data.train.as_os_str().is_empty(),
        ),
        ("out", config.out.as_os_str().is_empty()),
    ]
    .into_iter()
    .filter_map(|(name, missing)| missing.then_some(name))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "missing settings: {}; give them as flags or in a run file (see `peft init`)",
        missing.join(", ")
    )))
}

/// A run without an adapter ends with a whole model folder.
fn write_full_model<M: Module>(
    config: &RunConfig,
    model: &M,
    weights: &TrainedWeights,
    model_config: &ModelConfig,
) -> Result<()> {
    let tensors = values::named_tensors(&model.valid(), &weights.names, |id| {
        weights.ids.contains(&id)
    });
    save_model(
        config.model_dir(),
        &config.out,
        model_config,
        &tensors,
        None,
    )?;
    Ok(remove_file(&config.out.join(peft_train::WEIGHTS_FILE))?)
}
