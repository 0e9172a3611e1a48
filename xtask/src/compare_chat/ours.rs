//! Our runs, and what llama.cpp says of the adapter of one.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Arguments, Figures, ROWS, SEED};
use crate::shell::Step;

/// What the frozen weights are kept in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ours {
    pub(super) name: &'static str,
    /// `--quantize`; absent: as the file has them.
    quantize: Option<&'static str>,
    /// `--compute`.
    compute: &'static str,
    /// How far its loss may be from theirs of f32.
    pub(super) within: Option<f64>,
    /// What its memory may be of theirs.
    pub(super) memory: f64,
}

pub(super) const BASES: [Ours; 4] = [
    base("f32", Some("f32"), "f32", Some(0.02), 0.3),
    base(
        "bf16, products in bf16",
        Some("bf16"),
        "bf16",
        Some(0.02),
        0.3,
    ),
    base(PACKED, None, "bf16", Some(0.05), 0.15),
    // Rounded twice, which costs what four bits cost.
    base("nf4, products in bf16", Some("nf4"), "bf16", None, 0.15),
];

const PACKED: &str = "as in the file, products in bf16";

const fn base(
    name: &'static str,
    quantize: Option<&'static str>,
    compute: &'static str,
    within: Option<f64>,
    memory: f64,
) -> Ours {
    Ours {
        name,
        quantize,
        compute,
        within,
        memory,
    }
}

impl Ours {
    fn out(&self, arguments: &Arguments) -> String {
        arguments.work(&format!("run-{}", self.name.replace([' ', ','], "-")))
    }

    /// One command from the file to the adapter.
    fn command(&self, arguments: &Arguments) -> Step {
        let out = self.out(arguments);
        let settings = [
            "train.schedule=constant".to_owned(),
            "train.group_by_length=false".to_owned(),
            "train.log_every=1".to_owned(),
            format!("train.seed={SEED}"),
            format!("train.eval_batch_size={ROWS}"),
            "data.max_length=128".to_owned(),
            format!("adapter.start={}", arguments.work("start")),
        ];
        let mut words = vec![
            "target/release/peft".to_owned(),
            "train".to_owned(),
            "--json".to_owned(),
            "--overwrite".to_owned(),
        ];
        for (flag, value) in [
            ("--task", "causal-lm".to_owned()),
            ("--model", arguments.model.display().to_string()),
            ("--train", arguments.work("train.jsonl")),
            ("--valid", arguments.work("valid.jsonl")),
            ("--targets", "all-linear".to_owned()),
            ("--max-steps", arguments.steps.to_string()),
            ("--batch-size", ROWS.to_string()),
            ("--lr", arguments.lr.to_string()),
            ("--compute", self.compute.to_owned()),
            ("--out", out),
        ] {
            words.extend([flag.to_owned(), value]);
        }
        if let Some(format) = self.quantize {
            words.extend(["--quantize".to_owned(), format.to_owned()]);
        }
        for setting in settings {
            words.extend(["--set".to_owned(), setting]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Step::on_cores(&arguments.cores, &words)
            .with_variable("RAYON_NUM_THREADS", &arguments.threads())
    }

    /// Trains.
    ///
    /// # Errors
    /// The program fails, or does not say what it should.
    pub(super) fn run(&self, root: &Path, arguments: &Arguments) -> anyhow::Result<Figures> {
        let printed = self.command(arguments).output(root)?;
        let said: Value = serde_json::from_str(&printed)
            .with_context(|| format!("expected one JSON value, found {printed:?}"))?;
        let number = |name: &str| {
            let number = said.pointer(name).and_then(Value::as_f64);
            number.with_context(|| format!("no {name} in {printed}"))
        };
        ensure!(
            said["truncated"] == 0,
            "examples were cut, which the other program does not: {printed}"
        );
        let log = root.join(self.out(arguments)).join("train_log.jsonl");
        let log =
            std::fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
        Ok(Figures {
            loss: number("/scores/loss")?,
            step: median_step(&log)?,
            memory: number("/peak_memory_mib")?,
        })
    }
}

/// The time of a step in the middle, by the seconds at which each ended.
fn median_step(log: &str) -> anyhow::Result<f64> {
    let ends: Vec<f64> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|record| record["kind"] == "train")
        .filter_map(|record| record["seconds"].as_f64())
        .collect();
    let mut steps: Vec<f64> = ends
        .iter()
        .zip(ends.iter().skip(1))
        .map(|(a, b)| b - a)
        .collect();
    steps.sort_by(f64::total_cmp);
    let median = steps.get(steps.len() / 2);
    median.copied().context("a log of two steps is needed")
}

/// What real llama.cpp says of a text with the adapter over the packed base, beside `peft eval`; or why it was not asked.
pub(super) fn in_llama_cpp(root: &Path, arguments: &Arguments) -> String {
    asked(root, arguments).unwrap_or_else(|error| format!("llama.cpp was not asked: {error:#}"))
}

fn asked(root: &Path, arguments: &Arguments) -> anyhow::Result<String> {
    let packed = BASES.iter().find(|base| base.name == PACKED);
    let run = packed.context("the packed base")?.out(arguments);
    let (model, text) = (
        arguments.model.display().to_string(),
        arguments.work("text.txt"),
    );
    let adapter = arguments.work("adapter.gguf");
    let row = arguments.work("text.jsonl");
    write_text(root, arguments, [&text, &row])?;
    let peft = |line: &[&str]| {
        Step::on_cores(&arguments.cores, &[&["target/release/peft"], line].concat())
    };
    peft(&[
        "convert",
        &run,
        "--to",
        "gguf",
        "--model",
        &model,
        "--out",
        &adapter,
        "--overwrite",
    ])
    .output(root)?;
    let theirs = Step::on_cores(
        &arguments.cores,
        &[
            "node",
            "tools/compare/llama_cpp.mjs",
            &model,
            &text,
            &adapter,
        ],
    );
    let theirs: Value = serde_json::from_str(&theirs.output(root)?)?;
    let ours = peft(&[
        "eval",
        "--json",
        "--task",
        "causal-lm",
        "--model",
        &model,
        "--adapter",
        &run,
        "--data",
        &row,
    ]);
    let ours: Value = serde_json::from_str(&ours.output(root)?)?;
    Ok(format!(
        "The adapter over the packed base, loss of one text: {} here, {} in llama.cpp",
        ours["loss"], theirs["mean"]
    ))
}

/// Writes an answer as a plain text, and as a row of a table: such a text has an end, a plain one is what it is.
fn write_text(root: &Path, arguments: &Arguments, [text, row]: [&str; 2]) -> anyhow::Result<()> {
    let chat = std::fs::read_to_string(root.join(arguments.work("valid.jsonl")))?;
    let chat: Value = serde_json::from_str(chat.lines().next().unwrap_or_default())?;
    let said = chat["messages"][1]["content"]
        .as_str()
        .context("an answer")?;
    std::fs::write(root.join(text), format!("{said}\n"))?;
    let row_of_table = serde_json::json!({"text": said}).to_string();
    Ok(std::fs::write(root.join(row), row_of_table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_what_lies_between_two_records() {
        let records = [(1, 2.0), (2, 2.5), (3, 4.0), (4, 4.4)];
        let mut log: String = records
            .iter()
            .map(|(step, end)| {
                format!("{{\"kind\": \"train\", \"step\": {step}, \"seconds\": {end}}}\n")
            })
            .collect();
        log.push_str("{\"kind\": \"eval\", \"step\": 4, \"seconds\": 9.0}\n");
        assert_eq!(median_step(&log).unwrap(), 0.5);
        assert!(median_step("").is_err());
    }
}
