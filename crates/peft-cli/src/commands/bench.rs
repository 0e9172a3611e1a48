//! `peft bench`: how long a training step and a forward pass of a method take, and how much memory.

mod profile;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use peft_core::ParameterCount;
use peft_models::{DecoderClassifier, ModelConfig, ModelKind, SequenceClassifier};
use peft_train::data::{Encoded, Target, TokenRow};
use peft_train::task::{CausalTask, ClassifierTask, Objective, TextSet};
use serde::Serialize;
use serde_json::Value;

use profile::{Peaks, Profile};

use super::train::RunArgs;

use crate::open::OpenClassifier;
use crate::run::timing::{self, Times};
use crate::run_config::{RunConfig, TaskKind};
use crate::{device, memory, open};

/// A run file, flags, or a run file with flags laid over it, as for `peft train`; data is made up: `train.batch_size` rows of
/// `data.max_length` tokens.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Steps and forward passes to time, after two to warm up.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Also print what each fused operation takes of a step, and how near that is to what this machine can do; on flex only.
    #[arg(long)]
    profile: bool,
}

/// Most words that made-up rows have.
const WORDS: usize = 250;

/// Seconds of several repetitions.
#[derive(Debug, Serialize)]
struct Seconds {
    median: f64,
    fastest: f64,
    slowest: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct BenchResult {
    method: String,
    model: PathBuf,
    device: String,
    rows: usize,
    tokens: usize,
    parameters: ParameterCount,
    /// Forward, backward, clipping, optimizer.
    step: Seconds,
    /// Without gradients.
    forward: Seconds,
    /// Of a training step.
    tokens_per_second: f64,
    /// Largest resident memory of the process, in MiB, where the system tells.
    peak_memory_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
}

/// Runs the verb.
pub fn run(args: &BenchArgs, json: bool) -> Result<()> {
    let config = args.run.config_with_model()?;
    let times = measure(&config, usize::from(args.steps))?;
    let peak_memory_mib = memory::peak_mib();
    let device = device::open(&config.device)?;
    let profile = args.profile.then(|| {
        let count = times.steps.len();
        let mean = times.steps.iter().sum::<f64>() / count as f64;
        let peaks = Peaks::measure(&device);
        Profile::new(times.profile, count, mean, peaks)
    });
    let (step, forward) = (Seconds::of(times.steps), Seconds::of(times.forwards));
    let rows = config.train.batch_size * config.train.accumulation;
    let tokens = config.data.max_length;
    let result = BenchResult {
        method: config.adapter.method,
        model: config.model,
        device: config.device,
        rows,
        tokens,
        parameters: times.parameters,
        tokens_per_second: (rows * tokens) as f64 / step.median,
        step,
        forward,
        peak_memory_mib,
        profile,
    };
    if json {
        return super::print_json(&result);
    }
    println!(
        "{}, {rows} x {tokens} tokens; {}",
        result.method, result.parameters
    );
    println!("step     {}", result.step);
    println!("forward  {}", result.forward);
    println!("tokens/s {:.0}", result.tokens_per_second);
    if let Some(peak) = result.peak_memory_mib {
        println!("memory   {peak} MiB at most");
    }
    if let Some(profile) = &result.profile {
        profile.print();
    }
    Ok(())
}

fn measure(config: &RunConfig, steps: usize) -> Result<Times> {
    let examples = timing::examples(config, steps);
    let model = ModelConfig::read(config.model_dir())?;
    match (ModelKind::of(&model), config.task) {
        (ModelKind::Texts, TaskKind::SeqCls) => classifier::<SequenceClassifier>(config, examples),
        (ModelKind::Causal | ModelKind::DecoderTexts, TaskKind::SeqCls) => {
            classifier::<DecoderClassifier>(config, examples)
        }
        (ModelKind::Causal, TaskKind::CausalLm) => language_model(config, examples),
        _ => Err(crate::Usage(format!(
            "{} with this task cannot be timed; expected --task seq-cls or causal-lm and a model of texts for it",
            config.model.display()
        ))
        .into()),
    }
}

/// Two classes, by turns.
fn classifier<M: OpenClassifier<Set = TextSet>>(
    config: &RunConfig,
    examples: usize,
) -> Result<Times> {
    let device = device::open(&config.device)?.autodiff();
    let (dropout, seed) = (config.base_dropout, config.train.seed);
    let loaded = open::classifier::<M>(config.model_dir(), Some(2), dropout, seed, &device)?;
    let rows = made_up(&loaded.config, config.data.max_length, examples);
    let task = ClassifierTask::<M> {
        train: TextSet {
            targets: (0..examples).map(|row| Target::Class(row % 2)).collect(),
            encoded: rows
                .map(|ids| Encoded {
                    type_ids: vec![0; ids.len()],
                    ids,
                })
                .collect(),
            pad_id: 0,
        },
        valid: None,
        objective: Objective::Classes(2),
        metrics: vec![],
        eval_batch_size: config.train.eval_batch_size,
    };
    let head_modules = M::head_modules(&loaded);
    timing::steps(config, &task, loaded, &head_modules)
}

fn language_model(config: &RunConfig, examples: usize) -> Result<Times> {
    let device = device::open(&config.device)?.autodiff();
    let loaded = open::causal(config.model_dir(), config.base_dropout, &device)?;
    let rows = made_up(&loaded.config, config.data.max_length, examples);
    let task = CausalTask {
        train: rows
            .map(|ids| TokenRow {
                segments: vec![1; ids.len()],
                learnt: (0..ids.len()).map(|at| at > 0).collect(),
                ids,
            })
            .collect(),
        valid: None,
        eval_batch_size: config.train.eval_batch_size,
        prompts: None,
    };
    timing::steps(config, &task, loaded, &[])
}

/// Rows of the first words of the model's vocabulary.
fn made_up(model: &ModelConfig, tokens: usize, rows: usize) -> impl Iterator<Item = Vec<u32>> {
    let words = model.raw().get("vocab_size").and_then(Value::as_u64);
    let words = words.map_or(WORDS, |words| WORDS.min(words as usize).max(1));
    let token = move |row: usize, column: usize| ((row * 131 + column * 29) % words) as u32;
    (0..rows).map(move |row| (0..tokens).map(|column| token(row, column)).collect())
}

impl Seconds {
    /// Of at least one repetition.
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |at: usize| seconds.get(at).copied().unwrap_or(f64::NAN);
        Self {
            median: at(seconds.len() / 2),
            fastest: at(0),
            slowest: at(seconds.len().saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, fastest, slowest] =
            [self.median, self.fastest, self.slowest].map(|seconds| seconds * 1e3);
        write!(f, "{median:.1} ms ({fastest:.1} to {slowest:.1})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let seconds = Seconds::of(vec![0.3, 0.1, 0.2]);
        assert_eq!(seconds.to_string(), "200.0 ms (100.0 to 300.0)");
    }
}
