//! The batches of one pass of a run without grouping by length, as JSON lists of examples' numbers, so that another program can take the same:
//!
//! ```text
//! cargo run --example training_order -- EXAMPLES BATCH_SIZE SEED
//! ```
#![allow(clippy::print_stdout, reason = "an example says what it made")]

use anyhow::{Context, Result};
use peft_train::data::{BatchOptions, BatchPlan};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = || -> Result<usize> {
        let given = args.next().context("expected EXAMPLES BATCH_SIZE SEED")?;
        Ok(given.parse()?)
    };
    let (examples, batch_size, seed) = (number()?, number()?, number()?);
    let options = BatchOptions {
        batch_size,
        seed: seed as u64,
        group_by_length: false,
        ..BatchOptions::default()
    };
    // The lengths decide nothing where nothing is grouped by them.
    let plan = BatchPlan::new(&vec![1; examples], &options)?;
    println!("{}", serde_json::to_string(plan.batches())?);
    Ok(())
}
