//! Reports on bases and pools as text.

use peft_run::recycle::{BasisReport, HeldOutReport, ProjectionReport, SimilarityReport};

/// What a basis holds, what it saves and how exact it is.
pub(super) fn basis(report: &BasisReport) {
    let base = report.base_model.as_deref().unwrap_or("not named");
    println!(
        "{}: {} adapters of {base}",
        report.basis,
        report.members.len()
    );
    println!(
        "{} bytes of adapters are {} shared and {} of coordinates: {:.2} times smaller",
        report.source_bytes, report.shared_bytes, report.loadings_bytes, report.compression
    );
    if report.compression < 1.0 {
        println!(
            "note: the basis is larger than its adapters; it pays with more of them, or fewer components"
        );
    }
    println!(
        "lost, relative: update {:.3e}, A {:.3e}, B {:.3e}",
        report.error.product, report.error.a, report.error.b
    );
    for member in &report.members {
        println!(
            "  {}: rank {}, lost {:.3e}",
            member.name, member.largest_rank, member.error.product
        );
    }
    println!("layer: components of A and B, variance they explain in %, update lost");
    for site in &report.sites {
        println!(
            "  {}: {} and {}, {:.1} and {:.1}, {:.3e}",
            site.path,
            site.a.components,
            site.b.components,
            100.0 * site.a.explained,
            100.0 * site.b.explained,
            site.error.product
        );
    }
}

/// How well a basis describes an adapter.
pub(super) fn projection(report: &ProjectionReport) {
    println!(
        "{}: lost, relative: update {:.3e}, A {:.3e}, B {:.3e}",
        report.name, report.error.product, report.error.a, report.error.b
    );
    for (path, error) in &report.sites {
        println!("  {path}: update {:.3e}", error.product);
    }
}

/// A table of cosines.
pub(super) fn similarity(report: &SimilarityReport<'_>) {
    let width = report.names.iter().map(String::len).max().unwrap_or(0);
    for (name, row) in report.names.iter().zip(report.overall) {
        let row: Vec<String> = row.iter().map(|cosine| format!("{cosine:6.3}")).collect();
        println!("{name:<width$}  {}", row.join(" "));
    }
}

/// A table of errors.
pub(super) fn held_out(report: &HeldOutReport) {
    let width = report
        .members
        .keys()
        .map(String::len)
        .max()
        .unwrap_or(0)
        .max(4);
    let row = |name: &str, values: &mut dyn Iterator<Item = String>| {
        let values: Vec<String> = values.map(|value| format!("{value:>7}")).collect();
        println!("{name:<width$} {}", values.join(" "));
    };
    println!("update lost, relative, for each number of components");
    row("", &mut report.components.iter().map(ToString::to_string));
    for (name, errors) in &report.members {
        row(
            name,
            &mut errors.iter().map(|error| format!("{:.4}", error.product)),
        );
    }
    row(
        "mean",
        &mut report.mean.iter().map(|mean| format!("{mean:.4}")),
    );
    if !report.lonely_sites.is_empty() {
        println!(
            "{} layers of one adapter alone are left out",
            report.lonely_sites.len()
        );
    }
}
