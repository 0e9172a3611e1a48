//! `peft train`: a run from a run file, from flags, or from both.

mod flags;
mod on_screen;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use peft_prune::Plan;

use flags::SettingFlags;
use on_screen::OnScreen;

use crate::interrupt;
use peft_run::run::{self, Outcome, RunOptions, RunResult, lora_drop};
use peft_run::settings::{RunConfig, parse_setting, ready};

/// Settings of a run; flags win over the run file, and `--set` over both.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run file (TOML); `peft init` prints one.
    run: Option<PathBuf>,
    #[command(flatten)]
    flags: SettingFlags,
    /// Plan of `peft prune`: trains by lora-drop, on its layers, with its rank and alpha.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// Any setting by its dotted name, for example train.warmup=0.1; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// A run, and what becomes of its folder.
#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Write into a directory that is not empty; what an earlier run left there is removed.
    #[arg(long)]
    overwrite: bool,
    /// Continue the run in --out from its last checkpoint, with the same settings and data; --epochs and --max-steps may be greater.
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
}

impl RunArgs {
    /// The settings of a run from its file, its flags and `--set`.
    ///
    /// # Errors
    /// When one of them cannot be read, or a repository cannot be had.
    pub fn config(&self) -> Result<RunConfig> {
        let mut settings = match &self.plan {
            Some(plan) => lora_drop::settings(&Plan::read(plan)?),
            None => vec![],
        };
        settings.extend(self.flags.0.iter().cloned());
        for text in &self.set {
            settings.push(parse_setting(text)?);
        }
        Ok(ready(RunConfig::table(self.run.as_deref(), &settings)?)?)
    }

    /// The settings of something that needs no more of a run than its model.
    ///
    /// # Errors
    /// As [`Self::config`], and when no model is named.
    pub fn config_with_model(&self) -> Result<RunConfig> {
        let config = self.config()?;
        if config.model.as_os_str().is_empty() {
            bail!(peft_run::Error::Usage(
                "missing setting: model; give --model or a run file".into()
            ));
        }
        Ok(config)
    }
}

/// Runs the verb.
pub fn run(args: &TrainArgs, json: bool) -> Result<()> {
    let config = args.run.config()?;
    let options = RunOptions {
        overwrite: args.overwrite,
        resume: args.resume,
    };
    interrupt::watch()?;
    let outcome = run::train(&config, options, &mut OnScreen)?;
    match outcome {
        Outcome::Trained(result) if json => super::print_json(&result),
        Outcome::Trained(result) => {
            print(&result);
            Ok(())
        }
        Outcome::Finished(results) => finished(&config, &results, json),
    }
}

/// Says that there is nothing left to do, and what the run ended with.
fn finished(config: &RunConfig, results: &serde_json::Value, json: bool) -> Result<()> {
    let out = config.out.display();
    eprintln!(
        "{out} holds this run, finished: nothing was changed; more --epochs or --max-steps make it longer, --overwrite starts anew"
    );
    if json {
        return super::print_json(results);
    }
    println!("{} steps, {} tokens", results["steps"], results["tokens"]);
    println!("written to {out}");
    Ok(())
}

fn print(result: &RunResult) {
    let report = &result.report;
    println!("{}", result.parameters);
    println!(
        "{} steps, {} tokens, {:.1} s",
        report.steps, report.tokens, report.seconds
    );
    if let Some(scores) = &report.scores {
        if let Some(best) = report.best_step {
            println!(
                "weights of step {}; the best by {} is step {best}",
                report.selected_step, report.judged_by
            );
        }
        println!("valid loss {:.4}", scores.loss);
        for (name, value) in &scores.metrics {
            println!("{name} {value:.4}");
        }
    }
    println!("written to {}", result.out.display());
}
