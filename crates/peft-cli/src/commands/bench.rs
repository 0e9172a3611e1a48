//! `peft bench`: how long a training step and a forward pass of a method take, and how much memory.

mod made_up;
mod profile;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use peft_core::ParameterCount;
use serde::Serialize;

use profile::{Peaks, Profile};

use super::train::RunArgs;

use peft_run::{device, memory};

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
    let (times, tokens) = made_up::measure(&config, usize::from(args.steps))?;
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
