//! `peft init`: a commented run file with every setting and its default.

use anyhow::Result;
use clap::{Args, ValueEnum};
use peft_run::settings::{RunConfig, TaskKind, template};

/// What the run file is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TaskArg {
    /// One text or a pair to one of several labels.
    SeqCls,
    /// One text or a pair to a number.
    Regression,
    /// A text to its next token.
    CausalLm,
    /// An image to one of several labels.
    ImageCls,
}

/// What to print.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// What the model is trained for.
    #[arg(long, value_enum, default_value = "seq-cls")]
    task: TaskArg,
}

/// Runs the verb.
pub fn run(args: &InitArgs, json: bool) -> Result<()> {
    let config = RunConfig {
        task: match args.task {
            TaskArg::SeqCls => TaskKind::SeqCls,
            TaskArg::Regression => TaskKind::Regression,
            TaskArg::CausalLm => TaskKind::CausalLm,
            TaskArg::ImageCls => TaskKind::ImageCls,
        },
        ..RunConfig::default()
    };
    if json {
        return super::print_json(&config);
    }
    print!("{}", template(&config)?);
    Ok(())
}
