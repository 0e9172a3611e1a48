//! `peft targets`: a dry run that says what a training run would adapt, and what that costs.

use anyhow::Result;
use clap::Args;
use peft_run::targets::TargetsResult;

use super::train::RunArgs;

/// A run file, flags, or a run file with flags laid over it: the same as for `peft train`.
#[derive(Debug, Args)]
pub struct TargetsArgs {
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the verb.
pub fn run(args: &TargetsArgs, json: bool) -> Result<()> {
    let config = args.run.config_with_model()?;
    let result = TargetsResult::of(&config)?;
    if json {
        return super::print_json(&result);
    }
    print(&result);
    Ok(())
}

fn print(result: &TargetsResult) {
    let width = result
        .groups
        .iter()
        .map(|group| group.module.len())
        .max()
        .unwrap_or(0)
        .max(6);
    if !result.groups.is_empty() {
        println!(
            "{:<width$}  count   d_in x d_out  rank  alpha  trainable",
            "module"
        );
    }
    for group in &result.groups {
        let size = format!("{} x {}", group.d_in, group.d_out);
        println!(
            "{:<width$}  {:>5}  {size:>13}  {:>4}  {:>5}  {:>9}",
            group.module, group.count, group.rank, group.alpha, group.trainable
        );
    }
    println!("{} layers adapted by {}", result.sites.len(), result.method);
    match result.method.as_str() {
        "full" => println!("all {} tensors of the model train", result.saved.len()),
        _ => println!("trained as a whole: {}", listed(&result.saved)),
    }
    println!("{}", result.parameters);
    for unmatched in &result.unmatched {
        let near = match unmatched.near.is_empty() {
            true => String::new(),
            false => format!("; did you mean {}?", unmatched.near.join(", ")),
        };
        println!(
            "warning: target `{}` matches nothing{near}",
            unmatched.entry
        );
    }
    println!("{}", result.memory);
}

fn listed(names: &[String]) -> String {
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}
