//! One comparison: which methods, which data, and how every run is made and found again.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::Arguments;
use super::outcome::{CHOOSING, Outcome, choose, curve};
use super::queue::{side_by_side, threads};
use super::table::{Row, table};
use crate::shell::Step;

/// Log of a run, in its folder.
const LOG: &str = "train_log.jsonl";

/// A method with its settings.
#[derive(Debug)]
pub(super) struct Contender {
    /// Name in the table.
    pub(super) name: &'static str,
    /// Folder of its runs, below that of the data set.
    pub(super) folder: &'static str,
    /// What the program calls it.
    pub(super) method: &'static str,
    /// Settings as `--set` takes them, in groups.
    pub(super) settings: &'static [&'static [&'static str]],
    /// Learning rates to choose from; none: the rate of the first contender.
    pub(super) rates: &'static [f64],
}

/// A data set as the program reads it.
#[derive(Debug)]
pub(super) struct DataSet {
    pub(super) name: &'static str,
    /// What the program calls the task.
    pub(super) task: &'static str,
    pub(super) train: &'static str,
    pub(super) dev: &'static str,
    pub(super) columns: &'static str,
    /// What methods are compared by.
    pub(super) metric: &'static str,
    /// How many times the steps of the arguments a run takes here.
    pub(super) rounds: usize,
}

/// A comparison of methods on data sets.
#[derive(Debug)]
pub(super) struct Study {
    pub(super) name: &'static str,
    /// Makes model and data below the folder of the study, and gives the arguments with their places.
    pub(super) prepare: fn(&Path, &Arguments, &Path) -> anyhow::Result<Arguments>,
    /// How many times a run of the table is judged; with more than one, the table also says when each method reaches the final loss of the
    /// first one, and curves are drawn.
    pub(super) evaluations: usize,
    pub(super) contenders: &'static [Contender],
    pub(super) data: &'static [DataSet],
}

/// One run: where it is written, what it learns from and is judged on, and with which numbers.
struct Run<'a> {
    contender: &'a Contender,
    /// Folder of all runs of the method and data set.
    folder: PathBuf,
    /// What the run is for: `choose` a rate, or a `seed` of the table.
    kind: &'static str,
    train: &'a Path,
    valid: &'a Path,
    rate: f64,
    seed: u64,
    steps: usize,
    evaluations: usize,
}

impl Run<'_> {
    /// Where the run is written: everything that tells it from another of its method and data set.
    fn out(&self) -> PathBuf {
        let Self {
            kind,
            seed,
            rate,
            steps,
            ..
        } = self;
        self.folder
            .join(format!("{kind}-{seed}-rate-{rate:e}-steps-{steps}"))
    }
}

impl Study {
    /// Makes every run that is not there yet and prints the table of each data set.
    pub(super) fn run(&self, root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
        Step::new("cargo build --bin peft").run(root)?;
        let out = root.join(&arguments.out).join(self.name);
        std::fs::create_dir_all(&out)?;
        let arguments = &(self.prepare)(root, arguments, &out)?;
        let mut tables = String::new();
        for data in self.data {
            let rows = self.measure(root, arguments, &out.join(data.name), data)?;
            let table = table(data, data.rounds * arguments.steps, &rows);
            std::fs::write(out.join(format!("{}.md", data.name)), &table)?;
            tables.push_str(&table);
            tables.push('\n');
            if self.evaluations > 1 {
                draw(root, &out.join(data.name), &rows)?;
            }
        }
        println!("{tables}");
        Ok(())
    }

    /// Trains every method with every seed on all of the training data, at the rate that proved best on a part of it.
    fn measure(
        &self,
        root: &Path,
        arguments: &Arguments,
        out: &Path,
        data: &DataSet,
    ) -> anyhow::Result<Vec<Row>> {
        let [part, held_out] = split(&arguments.data.join(data.train), out)?;
        let steps = data.rounds * arguments.steps;
        let choosing: Vec<Run<'_>> = self
            .contenders
            .iter()
            .flat_map(|contender| contender.rates.iter().map(move |rate| (contender, *rate)))
            .flat_map(|run| CHOOSING.map(|seed| (run, seed)))
            .map(|((contender, rate), seed)| Run {
                contender,
                folder: out.join(contender.folder),
                kind: "choose",
                train: &part,
                valid: &held_out,
                rate,
                seed,
                steps: steps / 2,
                evaluations: 1,
            })
            .collect();
        let train = |run: &Run<'_>| train(root, arguments, data, run);
        let found = side_by_side(arguments.jobs, &choosing, train)?;
        let train_file = arguments.data.join(data.train);
        let dev = arguments.data.join(data.dev);
        let mut runs = Vec::new();
        for contender in self.contenders {
            // One without rates of its own takes those of the first: with the same rate, what differs is the method.
            let chooses_by = match contender.rates {
                [] => self.contenders[0].folder,
                _ => contender.folder,
            };
            let of_it = choosing.iter().zip(&found);
            let of_it = of_it.filter(|(run, _)| run.contender.folder == chooses_by);
            let by_rate: Vec<_> = of_it.map(|(run, found)| (run.rate, *found)).collect();
            let rate = choose(&by_rate)?;
            runs.extend((0..arguments.seeds).map(|seed| Run {
                contender,
                folder: out.join(contender.folder),
                kind: "seed",
                train: &train_file,
                valid: &dev,
                rate,
                seed,
                steps,
                evaluations: self.evaluations,
            }));
        }
        let outcomes = side_by_side(arguments.jobs, &runs, train)?;
        let rows = self.contenders.iter();
        rows.map(|contender| row(contender, &runs, &outcomes))
            .collect()
    }
}

/// The runs of one contender as a row of the table.
fn row(contender: &Contender, runs: &[Run<'_>], outcomes: &[Outcome]) -> anyhow::Result<Row> {
    let of_it = || {
        let pairs = runs.iter().zip(outcomes);
        pairs.filter(|(run, _)| run.contender.folder == contender.folder)
    };
    let curves = of_it().map(|(run, _)| curve(&run.out().join(LOG)));
    Ok(Row {
        name: contender.name,
        method: contender.method,
        rate: of_it().next().map_or(f64::NAN, |(run, _)| run.rate),
        outcomes: of_it().map(|(_, outcome)| *outcome).collect(),
        curves: curves.collect::<anyhow::Result<_>>()?,
        runs: of_it().map(|(run, _)| run.out()).collect(),
    })
}

/// Draws the validation curves of every method's first seed into one picture.
fn draw(root: &Path, out: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let out = out.join("curves");
    let mut words = vec!["plot".to_owned()];
    for run in rows.iter().filter_map(|row| row.runs.first()) {
        // Folders with the name of the method, and a log of evaluations alone: what the legend and the picture are to show.
        let name = run.parent().and_then(Path::file_name);
        let folder = out.join(name.context("a run is in a folder of its method")?);
        std::fs::create_dir_all(&folder)?;
        let log = std::fs::read_to_string(run.join(LOG))?;
        let evaluations = log.lines().filter(|line| line.contains("\"eval\""));
        let text: String = evaluations.map(|line| format!("{line}\n")).collect();
        std::fs::write(folder.join(LOG), text)?;
        words.push(folder.display().to_string());
    }
    words.extend(["--out".to_owned(), out.display().to_string()]);
    Step::new("target/debug/peft")
        .with_arguments(&words)
        .run(root)
}

/// Every fifth line of the training data is held out to choose the learning rate by.
fn split(file: &Path, folder: &Path) -> anyhow::Result<[PathBuf; 2]> {
    std::fs::create_dir_all(folder)?;
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let kind = file.extension().unwrap_or_default();
    let places = ["part", "held-out"].map(|name| folder.join(name).with_extension(kind));
    for (held_out, place) in places.iter().enumerate() {
        let lines: String = records(&text, kind == "csv")
            .iter()
            .enumerate()
            .filter(|(at, _)| (at % 5 == 4) == (held_out == 1))
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        ensure!(!lines.is_empty(), "{} has too few lines", file.display());
        std::fs::write(place, lines)?;
    }
    Ok(places)
}

/// The lines of a file; of a quoted one the rows, which may go over several lines.
fn records(text: &str, quoted: bool) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match records.last_mut() {
            Some(last) if open => {
                last.push('\n');
                last.push_str(line);
            }
            _ => records.push(line.to_owned()),
        }
        open ^= quoted && line.matches('"').count() % 2 == 1;
    }
    records
}

/// Runs the program unless the run is finished, and reads its result.
fn train(
    root: &Path,
    arguments: &Arguments,
    data: &DataSet,
    run: &Run<'_>,
) -> anyhow::Result<Outcome> {
    let results = run.out().join("results.json");
    if !results.exists() {
        command(arguments, data, run).run(root)?;
    }
    Outcome::read(&std::fs::read_to_string(&results)?, data.metric)
        .with_context(|| format!("in {}", results.display()))
}

fn command(arguments: &Arguments, data: &DataSet, run: &Run<'_>) -> Step {
    let path = |path: &Path| path.display().to_string();
    let mut words: Vec<String> = [
        "train",
        "--overwrite",
        "--task",
        data.task,
        "--model",
        &path(&arguments.model),
        "--train",
        &path(run.train),
        "--valid",
        &path(run.valid),
        "--columns",
        data.columns,
        "--method",
        run.contender.method,
        "--lr",
        &run.rate.to_string(),
        "--batch-size",
        "32",
        "--schedule",
        "linear",
        "--seed",
        &run.seed.to_string(),
        "--out",
        &path(&run.out()),
    ]
    .map(str::to_owned)
    .to_vec();
    let steps = [
        "train.epochs=1000".to_owned(),
        format!("train.max_steps={}", run.steps),
        format!("train.eval_every={}", (run.steps / run.evaluations).max(1)),
    ];
    let own = run
        .contender
        .settings
        .iter()
        .flat_map(|group| group.iter())
        .map(|setting| (*setting).to_owned());
    for setting in own.chain(steps) {
        words.extend(["--set".to_owned(), setting]);
    }
    let step = Step::new("target/debug/peft").with_arguments(&words);
    match arguments.jobs {
        1 => step,
        jobs => step.with_variable("RAYON_NUM_THREADS", &threads(jobs).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_in_quotes_may_go_over_lines() {
        let text = "a,\"b\nc\",d\ne,\"\"f\"\",g\n";
        assert_eq!(records(text, true), ["a,\"b\nc\",d", "e,\"\"f\"\",g"]);
        assert_eq!(records(text, false).len(), 3);
    }

    #[test]
    fn a_fifth_of_the_lines_is_held_out_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("all.tsv");
        let all: Vec<String> = (0..23).map(|line| format!("line {line}")).collect();
        std::fs::write(&file, all.join("\n")).unwrap();
        let [part, held_out] = split(&file, dir.path()).unwrap();
        let lines = |path: &Path| -> Vec<String> {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().map(str::to_owned).collect()
        };
        assert_eq!(lines(&held_out), ["line 4", "line 9", "line 14", "line 19"]);
        let mut joined = [lines(&part), lines(&held_out)].concat();
        joined.sort();
        let mut expected = all;
        expected.sort();
        assert_eq!(joined, expected);
    }
}
