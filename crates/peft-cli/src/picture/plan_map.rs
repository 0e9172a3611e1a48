//! The importance of every layer as a map: types below one another, layers side by side.

use peft_prune::Plan;

use super::heat_map::{Cell, HeatMap};

/// The map of a plan: dark is important, a frame marks a pair of its own.
pub(crate) fn map(plan: &Plan) -> HeatMap {
    let mut rows: Vec<(&str, Vec<Cell>)> = Vec::new();
    for site in &plan.sites {
        let cell = Cell {
            share: site.importance,
            framed: plan.is_private(site),
        };
        match rows.iter_mut().find(|(kind, _)| *kind == site.kind) {
            Some((_, cells)) => cells.push(cell),
            None => rows.push((&site.kind, vec![cell])),
        }
    }
    let share = 100.0 * plan.parameters_after as f64 / plan.parameters_before.max(1) as f64;
    let name = |kind: &str| kind.rsplit(".*.").next().unwrap_or(kind).to_owned();
    HeatMap {
        title: format!(
            "importance of each layer in %, framed: a pair of its own ({share:.0} % of the parameters)"
        ),
        rows: rows
            .into_iter()
            .map(|(kind, cells)| (name(kind), cells))
            .collect(),
    }
}
