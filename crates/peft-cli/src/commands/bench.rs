//! `peft bench`: how long a training step and a forward pass of a method take, and how much memory.

use anyhow::Result;
use clap::Args;
use peft_run::bench::{BenchResult, Profile};

use super::train::RunArgs;

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

/// Runs the verb.
pub fn run(args: &BenchArgs, json: bool) -> Result<()> {
    let config = args.run.config_with_model()?;
    let result = BenchResult::of(&config, usize::from(args.steps), args.profile)?;
    if json {
        return super::print_json(&result);
    }
    println!(
        "{}, {} x {} tokens; {}",
        result.method, result.rows, result.tokens, result.parameters
    );
    println!("step     {}", result.step);
    println!("forward  {}", result.forward);
    println!("tokens/s {:.0}", result.tokens_per_second);
    if let Some(peak) = result.peak_memory_mib {
        println!("memory   {peak} MiB at most");
    }
    if let Some(kept) = result.device_memory_mib {
        println!("device   {kept} MiB at most");
    }
    if let Some(profile) = &result.profile {
        print(profile);
    }
    Ok(())
}

/// A table.
fn print(profile: &Profile) {
    println!(
        "at best: {:.0} GFLOP/s in products, {:.0} GB/s in copies",
        profile.peaks.flops / 1e9,
        profile.peaks.bytes / 1e9
    );
    println!(
        "{:<34} {:>6} {:>9} {:>7} {:>9} {:>7} {:>9}",
        "operation", "calls", "ms", "of step", "GFLOP", "GB", "of floor"
    );
    for line in &profile.operations {
        println!(
            "{:<34} {:>6.0} {:>9.2} {:>6.1}% {:>9.2} {:>7.2} {:>8.0}%",
            line.operation,
            line.calls,
            line.seconds * 1e3,
            line.share * 1e2,
            line.flops / 1e9,
            line.bytes / 1e9,
            line.of_floor * 1e2
        );
    }
    println!(
        "{:<34} {:>6} {:>9.2}",
        "everything else",
        "",
        profile.rest * 1e3
    );
}
