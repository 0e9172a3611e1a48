//! `peft targets`: a dry run that says what a training run would adapt, and what that costs.

mod memory_estimate;
mod plan;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use peft_core::{AttachedSite, ParameterCount, Site};
use serde::Serialize;

use super::train::RunArgs;
use memory_estimate::MemoryEstimate;

/// A run file, flags, or a run file with flags laid over it: the same as for `peft train`.
#[derive(Debug, Args)]
pub struct TargetsArgs {
    #[command(flatten)]
    run: RunArgs,
}

/// Sites that differ in nothing but their layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Group {
    /// Path with `*` for numbers.
    module: String,
    /// How many sites.
    count: usize,
    d_in: usize,
    d_out: usize,
    rank: usize,
    alpha: f64,
    /// Parameters that train in all of them.
    trainable: usize,
}

/// A target entry that matches no layer, with names that look like it.
#[derive(Debug, Serialize)]
struct Unmatched {
    entry: String,
    near: Vec<String>,
}

/// What a run would train.
#[derive(Debug, Serialize)]
struct TargetsResult {
    method: String,
    model: PathBuf,
    groups: Vec<Group>,
    sites: Vec<AttachedSite>,
    /// Base parameters trained as a whole.
    saved: Vec<String>,
    parameters: ParameterCount,
    trainable_percent: f64,
    unmatched: Vec<Unmatched>,
    memory: MemoryEstimate,
}

/// Runs the verb.
pub fn run(args: &TargetsArgs, json: bool) -> Result<()> {
    let config = args.run.config_with_model()?;
    let plan = plan::make(&config)?;
    let result = TargetsResult {
        method: config.adapter.method.clone(),
        model: config.model.clone(),
        groups: grouped(&plan.sites),
        sites: plan.sites,
        saved: plan.saved,
        parameters: plan.parameters,
        trainable_percent: plan.parameters.percent(),
        unmatched: plan.unmatched,
        memory: plan.memory,
    };
    if json {
        return super::print_json(&result);
    }
    print(&result);
    Ok(())
}

/// Sites of the same name, size, rank and alpha as one line, in the model's order.
fn grouped(sites: &[AttachedSite]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for site in sites {
        let module = Site::module_type(&site.path);
        let same = groups.iter_mut().find(|group| {
            group.module == module
                && (group.d_in, group.d_out, group.rank) == (site.d_in, site.d_out, site.rank)
                && group.alpha.to_bits() == site.alpha.to_bits()
        });
        match same {
            Some(group) => {
                group.count += 1;
                group.trainable += site.trainable;
            }
            None => groups.push(Group {
                module,
                count: 1,
                d_in: site.d_in,
                d_out: site.d_out,
                rank: site.rank,
                alpha: site.alpha,
                trainable: site.trainable,
            }),
        }
    }
    groups
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

#[cfg(test)]
mod tests {
    use super::*;

    fn site(path: &str, rank: usize) -> AttachedSite {
        AttachedSite {
            path: path.into(),
            d_in: 4,
            d_out: 6,
            rank,
            alpha: 8.0,
            trainable: rank * 10,
        }
    }

    #[test]
    fn layers_of_one_name_are_one_line_unless_their_rank_differs() {
        let sites = [
            site("h.0.up", 2),
            site("h.1.up", 2),
            site("h.2.up", 3),
            site("h.0.down", 2),
        ];
        let groups = grouped(&sites);
        let found: Vec<_> = groups
            .iter()
            .map(|group| {
                (
                    group.module.as_str(),
                    group.count,
                    group.rank,
                    group.trainable,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("h.*.up", 2, 2, 40),
                ("h.*.up", 1, 3, 30),
                ("h.*.down", 1, 2, 20)
            ]
        );
    }
}
