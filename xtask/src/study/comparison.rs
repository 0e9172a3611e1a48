//! One comparison: which methods, on which data, and what comes of it.

use std::path::Path;

use anyhow::Context;

use super::Arguments;
use super::contender::Contender;
use super::data_set::DataSet;
use super::outcome::{CHOOSING, Outcome, choose, curve};
use super::queue::side_by_side;
use super::run::{LOG, Run};
use super::split::split;
use super::table::{Row, table};
use crate::shell::Step;

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

impl Study {
    /// Makes every run that is not there yet and prints the table of each data set.
    pub(super) fn run(&self, root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
        Step::new("cargo build --bin peft").run(root)?;
        let out = root.join(&arguments.out).join(self.name);
        std::fs::create_dir_all(&out)?;
        let arguments = &(self.prepare)(root, arguments, &out)?;
        let mut tables = String::new();
        for data in self.data {
            let rows = self.measure(root, arguments, &out, data)?;
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
        study: &Path,
        data: &DataSet,
    ) -> anyhow::Result<Vec<Row>> {
        let out = study.join(data.name);
        let [part, held_out] = split(&arguments.data.join(data.train), &out)?;
        let steps = data.rounds * arguments.steps;
        let contenders = self.contenders.iter();
        let choosing: Vec<Run<'_>> = contenders
            .flat_map(|contender| contender.rates.iter().map(move |rate| (contender, *rate)))
            .flat_map(|run| CHOOSING.map(|seed| (run, seed)))
            .map(|((contender, rate), seed)| Run {
                contender,
                data,
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
        let make = |run: &Run<'_>| run.make(root, study, arguments);
        let found = side_by_side(arguments.jobs, &choosing, make)?;
        let [train, valid] = [data.train, data.dev].map(|file| arguments.data.join(file));
        let mut runs = Vec::new();
        let mut chooses_by = "";
        for contender in self.contenders {
            // At the rate of the one before, what differs is the method.
            if !contender.rates.is_empty() {
                chooses_by = contender.folder;
            }
            let of_it = choosing.iter().zip(&found);
            let of_it = of_it.filter(|(run, _)| run.contender.folder == chooses_by);
            let by_rate: Vec<_> = of_it.map(|(run, found)| (run.rate, *found)).collect();
            let rate = choose(&by_rate)?;
            runs.extend((0..arguments.seeds).map(|seed| Run {
                contender,
                data,
                folder: out.join(contender.folder),
                kind: "seed",
                train: &train,
                valid: &valid,
                rate,
                seed,
                steps,
                evaluations: self.evaluations,
            }));
        }
        let outcomes = side_by_side(arguments.jobs, &runs, make)?;
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
