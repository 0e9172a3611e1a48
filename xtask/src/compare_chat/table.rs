//! The table: theirs, ours, and where ours misses what it should reach.

use std::fmt::Write;

use anyhow::Context;

use super::{Figures, Ours};

/// What a step of ours may take of theirs.
const STEP: f64 = 0.5;

/// A run of theirs.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) figures: Figures,
}

/// A run of ours.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) base: Ours,
    pub(super) figures: Figures,
}

/// Losses beside theirs of f32, times and memory beside those of their faster mode.
///
/// # Errors
/// There is none of theirs.
pub(super) fn table(peers: &[Peer], rows: &[Row]) -> anyhow::Result<String> {
    let exact = peers.first().context("no run of PEFT")?.figures.loss;
    let faster = (peers.iter()).min_by(|a, b| a.figures.step.total_cmp(&b.figures.step));
    let faster = faster.context("no run of PEFT")?;
    let mut table = format!(
        "| | held-out loss | from PEFT's in f32 | step | of {0} | peak memory | of {0} |\n|---|---|---|---|---|---|---|\n",
        faster.name
    );
    for Peer { name, figures } in peers {
        let Figures { loss, step, memory } = figures;
        let (loss_of, step_of) = (loss - exact, step / faster.figures.step);
        let memory_of = memory / faster.figures.memory;
        writeln!(
            table,
            "| {name} | {loss:.4} | {loss_of:+.4} | {:.0} ms | {step_of:.2} | {memory:.0} MiB | {memory_of:.2} |",
            step * 1e3
        )?;
    }
    let mark = |reached: bool| if reached { "" } else { " (missed)" };
    for Row { base, figures } in rows {
        let Figures { loss, step, memory } = figures;
        let (loss_of, step_of) = (loss - exact, step / faster.figures.step);
        let memory_of = memory / faster.figures.memory;
        writeln!(
            table,
            "| {} | {loss:.4} | {loss_of:+.4}{} | {:.0} ms | {step_of:.2}{} | {memory:.0} MiB | {memory_of:.2}{} |",
            base.name,
            mark(base.within.is_none_or(|within| loss_of.abs() <= within)),
            step * 1e3,
            mark(step_of <= STEP),
            mark(memory_of <= base.memory),
        )?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::super::ours::BASES;
    use super::*;

    #[test]
    fn times_are_beside_the_faster_mode_and_what_is_missed_is_marked() {
        let figures = |loss, step, memory| Figures { loss, step, memory };
        let peers = [
            Peer {
                name: "PEFT, f32",
                figures: figures(1.0, 2.0, 1000.0),
            },
            Peer {
                name: "PEFT, bf16 autocast",
                figures: figures(1.01, 4.0, 2000.0),
            },
        ];
        let rows = [Row {
            base: BASES[0],
            figures: figures(1.03, 0.9, 400.0),
        }];
        let table = table(&peers, &rows).unwrap();
        assert!(table.contains("| of PEFT, f32 | peak memory |"), "{table}");
        assert!(
            table.contains(
                "| f32 | 1.0300 | +0.0300 (missed) | 900 ms | 0.45 | 400 MiB | 0.40 (missed) |"
            ),
            "{table}"
        );
        assert!(super::table(&[], &rows).is_err());
    }
}
