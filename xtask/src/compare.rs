//! `cargo xtask compare`: the time of a training step beside Hugging Face PEFT's, on the same model, batch and processor cores.
//!
//! The two take turns, so that what else the machine does falls on both; every ratio is of one turn.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use crate::ratio::ratio;
use crate::shell::Step;

/// Arguments of `cargo xtask compare`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A Python with torch, transformers and peft.
    #[arg(long)]
    python: PathBuf,
    /// Folder of an encoder: all-MiniLM-L6-v2.
    #[arg(long)]
    encoder: PathBuf,
    /// Folder of a decoder.
    #[arg(long)]
    decoder: PathBuf,
    /// Only cases whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Turns of each case.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Steps and forward passes of a turn; the median counts.
    #[arg(long, default_value_t = 7)]
    steps: usize,
    /// What products multiply: f32, or bf16 (ours with --compute bf16, theirs under autocast).
    #[arg(long, default_value = "f32")]
    compute: String,
    /// The same for theirs alone.
    #[arg(long)]
    theirs: Option<String>,
    /// Processor cores that both are bound to.
    #[arg(long, default_value = "0,1")]
    cores: String,
    /// Where models of random weights go.
    #[arg(long, default_value = "target/compare")]
    out: PathBuf,
}

/// Whose weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Model {
    Encoder,
    Decoder,
    /// Random weights of the shape that a folder of `xtask/assets` describes.
    Random {
        shape: &'static str,
        task: &'static str,
    },
}

const fn random(shape: &'static str, task: &'static str) -> Model {
    Model::Random { shape, task }
}

/// One comparison: 16 rows of 128 tokens, or 16 images, rank 8.
#[derive(Debug)]
struct Case {
    name: &'static str,
    model: Model,
    method: &'static str,
    targets: &'static str,
}

const fn case(
    name: &'static str,
    model: Model,
    method: &'static str,
    targets: &'static str,
) -> Case {
    Case {
        name,
        model,
        method,
        targets,
    }
}

const CASES: [Case; 7] = [
    case(
        "MiniLM, LoRA, query and value",
        Model::Encoder,
        "lora",
        "query,value",
    ),
    case(
        "MiniLM, LoRA, all linear",
        Model::Encoder,
        "lora",
        "all-linear",
    ),
    case(
        "MiniLM, DoRA, all linear",
        Model::Encoder,
        "dora",
        "all-linear",
    ),
    case(
        "RoBERTa-base's shape, LoRA, query and value",
        // 12 layers of width 768.
        random("roberta-base-shape", "seq-cls"),
        "lora",
        "query,value",
    ),
    case(
        "ViT-base's shape, LoRA, query and value",
        // The same for images of 224 x 224 pixels: 197 tokens.
        random("vit-base-shape", "image-cls"),
        "lora",
        "query,value",
    ),
    case(
        "decoder, LoRA, all linear",
        Model::Decoder,
        "lora",
        "all-linear",
    ),
    case(
        "SmolLM-135M's shape, LoRA, all linear",
        // 30 layers of width 576, a vocabulary of 49,152.
        random("smollm-135m-shape", "causal-lm"),
        "lora",
        "all-linear",
    ),
];

const ROWS: &str = "16";
const TOKENS: &str = "128";
const RANK: &str = "8";

/// Seconds of a step, seconds of a forward pass, MiB.
type Figures = [f64; 3];

/// Measures and prints a table.
///
/// # Errors
/// A program does not start or does not finish.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    Step::new("cargo build --bin peft").run(root)?;
    let wanted = |case: &&Case| {
        let only = arguments.only.as_deref();
        only.is_none_or(|only| case.name.contains(only))
    };
    let mut table = "| 16 rows of 128 tokens or images, rank 8 | step, ours over theirs | forward | peak memory | step | theirs |\n|---|---|---|---|---|---|\n".to_owned();
    for case in CASES.iter().filter(wanted) {
        let model = model(root, arguments, case.model)?;
        let turns = (0..arguments.rounds)
            .map(|_| {
                let ours = figures(&ours(arguments, case, &model).output(root)?, true)?;
                let theirs = figures(&theirs(arguments, case, &model).output(root)?, false)?;
                Ok((ours, theirs))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        table.push_str(&row(case.name, &turns));
    }
    println!("{table}");
    Ok(())
}

/// The folder of a model; a random one is made when it is not there.
fn model(root: &Path, arguments: &Arguments, model: Model) -> anyhow::Result<PathBuf> {
    Ok(match model {
        Model::Encoder => arguments.encoder.clone(),
        Model::Decoder => arguments.decoder.clone(),
        Model::Random { shape, .. } => {
            let folder = root.join(&arguments.out).join(shape);
            if !folder.join("model.safetensors").exists() {
                let config = format!("xtask/assets/{shape}/config.json");
                Step::new("cargo run --example fresh_model --")
                    .with_arguments(&[config, folder.display().to_string()])
                    .run(root)?;
            }
            folder
        }
    })
}

const fn task(model: Model) -> &'static str {
    match model {
        Model::Encoder => "seq-cls",
        Model::Decoder => "causal-lm",
        Model::Random { task, .. } => task,
    }
}

fn ours(arguments: &Arguments, case: &Case, model: &Path) -> Step {
    let length = format!("data.max_length={TOKENS}");
    let own = [
        "--json",
        "--batch-size",
        ROWS,
        "--set",
        &length,
        "--set",
        "base_dropout=0.0",
    ];
    command(
        arguments,
        case,
        model,
        &[
            "target/debug/peft",
            "bench",
            "--compute",
            &arguments.compute,
        ],
        &own,
    )
    .with_variable("RAYON_NUM_THREADS", &threads(arguments).to_string())
}

fn theirs(arguments: &Arguments, case: &Case, model: &Path) -> Step {
    let python = arguments.python.display().to_string();
    let threads = threads(arguments).to_string();
    let compute = arguments.theirs.as_ref().unwrap_or(&arguments.compute);
    let own = [
        "--rows",
        ROWS,
        "--tokens",
        TOKENS,
        "--threads",
        &threads,
        "--compute",
        compute,
    ];
    command(
        arguments,
        case,
        model,
        &[&python, "tools/compare/step_time.py"],
        &own,
    )
}

/// A program on the chosen cores, with the arguments that both understand and its own.
fn command(
    arguments: &Arguments,
    case: &Case,
    model: &Path,
    program: &[&str],
    own: &[&str],
) -> Step {
    let (model, steps) = (model.display().to_string(), arguments.steps.to_string());
    let both = [
        "--model",
        &model,
        "--task",
        task(case.model),
        "--method",
        case.method,
        "--targets",
        case.targets,
        "--rank",
        RANK,
        "--steps",
        &steps,
    ];
    Step::on_cores(&arguments.cores, &[program, &both, own].concat())
}

fn threads(arguments: &Arguments) -> usize {
    arguments.cores.split(',').count()
}

/// Reads what a program printed: ours has the times as objects, theirs as numbers.
fn figures(printed: &str, ours: bool) -> anyhow::Result<Figures> {
    let value: Value = serde_json::from_str(printed)
        .with_context(|| format!("expected one JSON value, found {printed:?}"))?;
    let names = match ours {
        true => ["/step/median", "/forward/median", "/peak_memory_mib"],
        false => ["/step", "/forward", "/memory"],
    };
    let mut figures = [0.0; 3];
    for (figure, name) in figures.iter_mut().zip(names) {
        let number = value.pointer(name).and_then(Value::as_f64);
        *figure = number.with_context(|| format!("no {name} in {printed}"))?;
    }
    Ok(figures)
}

/// A row of the table: ratios in the middle of the turns with the smallest and the largest, and the fastest step of each.
fn row(name: &str, turns: &[(Figures, Figures)]) -> String {
    let ratio = |at: usize| ratio(turns.iter().map(|(ours, theirs)| (ours[at], theirs[at])));
    let fastest = |steps: &mut dyn Iterator<Item = f64>| steps.fold(f64::INFINITY, f64::min) * 1e3;
    format!(
        "| {name} | {} | {} | {} | {:.0} ms | {:.0} ms |\n",
        ratio(0),
        ratio(1),
        ratio(2),
        fastest(&mut turns.iter().map(|(ours, _)| ours[0])),
        fastest(&mut turns.iter().map(|(_, theirs)| theirs[0])),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_ratio_in_the_middle_and_its_ends() {
        let turns = [
            ([0.2, 0.1, 50.0], [0.4, 0.1, 100.0]),
            ([0.3, 0.1, 50.0], [0.4, 0.1, 100.0]),
            ([0.1, 0.1, 50.0], [0.4, 0.1, 100.0]),
        ];
        assert_eq!(
            row("x", &turns),
            "| x | 0.50 (0.25 to 0.75) | 1.00 (1.00 to 1.00) | 0.50 (0.50 to 0.50) | 100 ms | 400 ms |\n"
        );
    }

    #[test]
    fn both_programs_are_understood() {
        let ours =
            r#"{"step": {"median": 0.5}, "forward": {"median": 0.2}, "peak_memory_mib": 300}"#;
        assert_eq!(figures(ours, true).unwrap(), [0.5, 0.2, 300.0]);
        let theirs = r#"{"step": 0.6, "forward": 0.3, "memory": 900.5}"#;
        assert_eq!(figures(theirs, false).unwrap(), [0.6, 0.3, 900.5]);
        let error = figures(r#"{"step": 0.6}"#, false).unwrap_err();
        assert!(error.to_string().contains("/forward"), "{error}");
    }
}
