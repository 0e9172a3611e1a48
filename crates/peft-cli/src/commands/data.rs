//! `peft data`: the account of a run's data, and its rows as the model will see them, without training.

mod html;
mod terminal;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use peft_core::file::write_atomic;
use peft_run::preview::{DataResult, Rows};

use super::train::RunArgs;

/// The data of a run: a run file, flags, or both, as for `peft train`.
#[derive(Debug, Args)]
pub struct DataVerbArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Shows the first so many rows of the training data, token by token, with what is learnt marked.
    #[arg(long, value_name = "N", default_value_t = 0)]
    rows: usize,
    /// Shows this row of the training data, counted from 1.
    #[arg(long, value_name = "K", conflicts_with = "rows")]
    row: Option<usize>,
    /// Writes the account and the shown rows to an HTML file as well.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &DataVerbArgs, json: bool) -> Result<()> {
    let config = args.run.config_with_model()?;
    let result = DataResult::of(&config, args.shown())?;
    if let Some(path) = &args.html {
        let page = html::page(&result.account, &result.rows);
        write_atomic(path, page.as_bytes())?;
    }
    if json {
        return super::print_json(&result);
    }
    println!("{}", result.account);
    terminal::print(&result.rows);
    Ok(())
}

impl DataVerbArgs {
    fn shown(&self) -> Rows {
        self.row.map_or(Rows::First(self.rows), Rows::One)
    }
}
