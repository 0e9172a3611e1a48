//! Tasks of sentences with labels, read from the data sets as they are published.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, ensure};

use super::data_set::DataSet;

/// A label and what it is of. Two sentences are one text, the second after a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) label: String,
    pub(super) text: String,
}

/// A task: what it is called, and its examples.
pub(super) type Task = (&'static str, Vec<Example>);

/// Groups that the labels of Banking77 are dealt into, each a task of its own.
const GROUPS: [&str; 4] = ["banking-0", "banking-1", "banking-2", "banking-3"];

/// Which examples of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Dev,
}

impl Part {
    pub(super) const ALL: [Self; 2] = [Self::Train, Self::Dev];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
        }
    }
}

/// SST-2, CoLA, TREC (coarse labels) and MRPC.
pub(super) fn four(data: &Path, part: Part) -> anyhow::Result<Vec<Task>> {
    let name = part.name();
    let sst2 = text(&data.join(format!("sst2/{name}.tsv")))?;
    let cola = text(&data.join(format!("cola/in_domain_{name}.tsv")))?;
    let trec = text(&data.join(match part {
        Part::Train => "trec/TREC.train",
        Part::Dev => "trec/TREC.test",
    }))?;
    // One file here: every tenth pair is for validation.
    let mrpc = text(&data.join("mrpc/msr_paraphrase_train.txt"))?;
    let pairs = mrpc.lines().skip(1).enumerate();
    let pairs = pairs.filter(|(at, _)| (at % 10 == 9) == (part == Part::Dev));
    let coarse = |line: &str| {
        let (label, text) = line.split_once(' ')?;
        Some(example(label.split(':').next()?, text))
    };
    let tasks = vec![
        ("sst2", columns(sst2.lines(), 1, &[0])),
        ("cola", columns(cola.lines(), 1, &[3])),
        ("trec", trec.lines().filter_map(coarse).collect()),
        ("mrpc", columns(pairs.map(|(_, line)| line), 0, &[3, 4])),
    ];
    not_empty(tasks)
}

/// The four, whether two sentences of STS-B mean about the same, and Banking77 in four tasks of some twenty labels each.
pub(super) fn nine(data: &Path, part: Part) -> anyhow::Result<Vec<Task>> {
    let mut tasks = four(data, part)?;
    let stsb = text(&data.join(format!("stsb/sts-{}.csv", part.name())))?;
    let mut alike = columns(stsb.lines(), 4, &[5, 6]);
    for pair in &mut alike {
        let score: f64 = pair.label.parse().context("a score of STS-B")?;
        pair.label = if score < 3.0 { "different" } else { "alike" }.to_owned();
    }
    tasks.push(("stsb", alike));
    let banking = banking77(data, part)?;
    let mut labels: Vec<String> = banking.iter().map(|row| row.label.clone()).collect();
    labels.sort();
    labels.dedup();
    let group = |row: &Example| labels.binary_search(&row.label).unwrap_or(0) % GROUPS.len();
    for (at, name) in GROUPS.into_iter().enumerate() {
        let rows = banking.iter().filter(|row| group(row) == at);
        tasks.push((name, rows.cloned().collect()));
    }
    not_empty(tasks)
}

/// Banking77 with all its labels.
fn banking77(data: &Path, part: Part) -> anyhow::Result<Vec<Example>> {
    let file = data.join(match part {
        Part::Train => "banking77/train.csv",
        Part::Dev => "banking77/test.csv",
    });
    let mut reader =
        csv::Reader::from_path(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut banking = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("in {}", file.display()))?;
        banking.push(example(&record[1], &record[0]));
    }
    Ok(banking)
}

/// Examples as lines that `peft train --columns text,label` reads.
pub(super) fn lines<'a>(examples: impl IntoIterator<Item = &'a Example>) -> String {
    let mut lines = String::new();
    for Example { label, text } in examples {
        let _ = writeln!(lines, "{text}\t{label}");
    }
    lines
}

/// Writes one of the four, or `banking77`, to `NAME-train.tsv` and `NAME-dev.tsv`.
pub(super) fn write(from: &Path, to: &Path, name: &str) -> anyhow::Result<()> {
    for part in Part::ALL {
        let mut tasks = four(from, part)?;
        if name == "banking77" {
            tasks.push(("banking77", banking77(from, part)?));
        }
        let task = tasks.iter().find(|(task, _)| *task == name);
        let (_, examples) = task.with_context(|| format!("no task {name}"))?;
        let file = to.join(format!("{name}-{}.tsv", part.name()));
        std::fs::write(&file, lines(examples))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Copies the files of a data set to the same places below another folder.
pub(super) fn copy(from: &Path, to: &Path, set: &DataSet) -> anyhow::Result<()> {
    for file in [set.train, set.dev] {
        let (from, to) = (from.join(file), to.join(file));
        std::fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        std::fs::copy(&from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Whole text of a file: UTF-8 without a byte order mark, or else Latin-1, which TREC is in.
fn text(file: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| {
        let bytes = error.into_bytes();
        bytes.into_iter().map(char::from).collect()
    }))
}

/// White space is one space, so that a text is one field of one line.
fn example(label: &str, text: &str) -> Example {
    let words: Vec<&str> = text.split_whitespace().collect();
    Example {
        label: label.to_owned(),
        text: words.join(" "),
    }
}

fn columns<'a>(lines: impl Iterator<Item = &'a str>, label: usize, text: &[usize]) -> Vec<Example> {
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let sentences: Option<Vec<&str>> =
                text.iter().map(|at| fields.get(*at).copied()).collect();
            Some(example(fields.get(label)?, &sentences?.join(" / ")))
        })
        .collect()
}

fn not_empty(tasks: Vec<Task>) -> anyhow::Result<Vec<Task>> {
    for (name, examples) in &tasks {
        ensure!(!examples.is_empty(), "{name} has no rows");
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sentences_are_one_text_of_one_line() {
        let found = columns(["1\t a \tb  c", "short"].into_iter(), 0, &[1, 2]);
        assert_eq!(found, [example("1", "a / b c")]);
        assert_eq!(lines(&found), "a / b c\t1\n");
    }

    #[test]
    fn latin_1_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("trec");
        std::fs::write(&file, b"HUM:ind Who was Andr\xe9 ?").unwrap();
        assert_eq!(text(&file).unwrap(), "HUM:ind Who was Andr\u{e9} ?");
    }

    #[test]
    fn a_task_without_rows_is_an_error() {
        let error = not_empty(vec![("cola", vec![])]).unwrap_err();
        assert_eq!(error.to_string(), "cola has no rows");
    }
}
