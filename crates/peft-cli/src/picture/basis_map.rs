//! What a basis explains, and which adapters are alike, as maps.

use peft_recycle::{BasisInfo, Similarity};

use super::heat_map::{Cell, HeatMap};

/// The variance that the components of A and of B explain at each layer.
pub(crate) fn explained(info: &BasisInfo) -> HeatMap {
    let cell = |share: f64| Cell {
        share,
        framed: false,
    };
    let rows = info.sites.iter().map(|site| {
        let cells = vec![cell(site.a.explained), cell(site.b.explained)];
        (super::short(&site.path), cells)
    });
    HeatMap {
        title: "variance that the components explain in %, of A and of B".into(),
        rows: rows.collect(),
    }
}

/// The cosines between the updates of all adapters; a frame marks a negative one.
pub(crate) fn similarity(found: &Similarity) -> HeatMap {
    let rows = found.names.iter().zip(&found.overall.cosines);
    let cell = |cosine: &f64| Cell {
        share: cosine.abs(),
        framed: *cosine < 0.0,
    };
    HeatMap {
        title: "cosine between the updates in %, framed: negative".into(),
        rows: rows
            .map(|(name, row)| (name.clone(), row.iter().map(cell).collect()))
            .collect(),
    }
}
