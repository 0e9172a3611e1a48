//! `peft methods`: what can train, with options, cost and paper.

use anyhow::Result;
use peft_core::{MethodEntry, Site};
use serde::Serialize;
use serde_json::{Map, Value};

use peft_run::registry::{METHODS, PROCEDURES};

/// Width of the square layer at which costs are compared.
const WIDTH: usize = 768;
/// Rank at which costs are compared.
const RANK: usize = 8;

/// What is trained without an adapter: identifier and meaning.
const WITHOUT_ADAPTER: &[(&str, &str)] = &[
    (
        "head",
        "the task's head alone; the rest of the model stays frozen",
    ),
    ("full", "every weight of the model"),
];

/// A method as it is listed.
#[derive(Debug, Serialize)]
struct MethodRow {
    id: &'static str,
    name: &'static str,
    summary: &'static str,
    paper: &'static str,
    default_options: Map<String, Value>,
    /// Parameters that train at a layer of `WIDTH` x `WIDTH` with `RANK`.
    example: Example,
}

/// The cost of a method at one layer.
#[derive(Debug, Serialize)]
struct Example {
    d_in: usize,
    d_out: usize,
    rank: usize,
    trainable: usize,
}

/// Runs the verb.
pub fn run(json: bool) -> Result<()> {
    let rows = METHODS
        .iter()
        .map(|entry| row(entry))
        .collect::<Result<Vec<_>>>()?;
    if json {
        let without: Vec<Value> = WITHOUT_ADAPTER
            .iter()
            .map(|(id, summary)| serde_json::json!({"id": id, "summary": summary}))
            .collect();
        let procedures = PROCEDURES.iter().map(|entry| {
            serde_json::json!({"id": entry.id, "summary": entry.summary, "paper": entry.paper})
        });
        let all = serde_json::json!({
            "methods": rows,
            "without_adapter": without,
            "procedures": procedures.collect::<Vec<Value>>(),
        });
        return super::print_json(&all);
    }
    for row in &rows {
        print(row);
    }
    println!("without an adapter:");
    for (id, summary) in WITHOUT_ADAPTER {
        println!("{id:<12}{summary}");
    }
    println!("procedures, which steer the training of a method ([procedures.ID] in a run file):");
    for entry in PROCEDURES {
        println!(
            "{:<12}{}\n{:<12}{}",
            entry.id, entry.summary, "", entry.paper
        );
    }
    Ok(())
}

fn row(entry: &'static MethodEntry) -> Result<MethodRow> {
    let default_options = (entry.default_options)();
    let method = (entry.from_options)(&default_options)?;
    Ok(MethodRow {
        id: entry.id,
        name: entry.name,
        summary: entry.summary,
        paper: entry.paper,
        default_options,
        example: Example {
            d_in: WIDTH,
            d_out: WIDTH,
            rank: RANK,
            trainable: method.trainable(&Site::new("example", WIDTH, WIDTH), RANK),
        },
    })
}

fn print(row: &MethodRow) {
    let options: Vec<String> = row
        .default_options
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let options = match options.is_empty() {
        true => "none".to_owned(),
        false => options.join(", "),
    };
    let example = &row.example;
    println!("{:<12}{}: {}", row.id, row.name, row.summary);
    println!("{:<12}options: {options}", "");
    println!(
        "{:<12}trains {} parameters at a layer of {} x {} with rank {}",
        "", example.trainable, example.d_in, example.d_out, example.rank
    );
    println!("{:<12}{}", "", row.paper);
}
