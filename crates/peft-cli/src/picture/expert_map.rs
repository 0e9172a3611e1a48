//! Which experts each layer uses as a map: layers below one another, experts side by side.

use super::heat_map::{Cell, HeatMap};
use peft_run::run::expert_use::UseOfExperts;

/// The map of a mixture: dark is used much, a frame marks an expert that nothing went to.
pub(crate) fn map(content: &UseOfExperts) -> HeatMap {
    let rows = content.sites.iter().map(|site| {
        let top_k: f64 = site.chosen.iter().sum();
        let cell = |share: &f64| Cell {
            share: share / top_k.max(f64::MIN_POSITIVE),
            framed: *share == 0.0,
        };
        (
            super::short(&site.path),
            site.chosen.iter().map(cell).collect(),
        )
    });
    HeatMap {
        title: "choices that fell on each expert in %, framed: no token chose it".into(),
        rows: rows.collect(),
    }
}
