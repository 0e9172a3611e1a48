//! The description of an adapter folder as text.

use peft_core::grouped;

use peft_run::report::{Fit, Report, SiteChange, SiteReport, kind};
use peft_run::run::expert_use::UseOfExperts;

/// Prints the whole description.
pub(super) fn print(report: &Report) {
    header(report);
    sites(&report.sites);
    for tensor in report.common_tensors.iter().chain(&report.other_tensors) {
        println!(
            "{} {:?}, norm {:.4}",
            tensor.name, tensor.shape, tensor.norm
        );
    }
    println!(
        "values that are not finite: {} NaN, {} infinite",
        report.nan, report.infinite
    );
    let untrained = report
        .sites
        .iter()
        .filter(|site| site.does_nothing())
        .count();
    if untrained > 0 {
        println!(
            "warning: A or B is all zero at {untrained} of {} sites: no update there",
            report.sites.len()
        );
    }
    list("unknown field", &report.unknown_fields);
    list("unsupported", &report.unsupported);
    list("problem", &report.problems);
    list("note", &report.notes);
    if let Some(used) = &report.experts {
        experts(used);
    }
    if let Some(fit) = &report.fit {
        print_fit(fit);
    }
}

/// Which experts are used: the shares of choices, and how far the router tells experts apart.
fn experts(used: &UseOfExperts) {
    println!(
        "use of experts on {} training examples: share of choices in %, entropy 1 = all alike, dead = chosen by none",
        used.examples
    );
    for site in &used.sites {
        let all: f64 = site.chosen.iter().sum();
        let share = |chosen: &f64| format!("{:.0}", 100.0 * chosen / all.max(f64::MIN_POSITIVE));
        let shares: Vec<String> = site.chosen.iter().map(share).collect();
        println!(
            "  {}: {}; entropy {:.3}, dead {}",
            site.path,
            shares.join(" "),
            site.entropy,
            site.dead().count()
        );
    }
}

fn header(report: &Report) {
    let method = report.method.unwrap_or(kind(&report.peft_type).what);
    println!(
        "{}: {method} (peft_type {})",
        report.folder.display(),
        report.peft_type
    );
    println!(
        "base model      {}",
        report.base_model.as_deref().unwrap_or("not named")
    );
    println!(
        "task            {}",
        report.task_type.as_deref().unwrap_or("not named")
    );
    if let (Some(rank), Some(alpha), Some(dropout)) = (report.rank, report.alpha, report.dropout) {
        println!("rank, alpha     {rank}, {alpha}, dropout {dropout}");
    }
    println!(
        "target_modules  {}",
        report.target_modules.as_deref().unwrap_or("not named")
    );
    if !report.modules_to_save.is_empty() {
        println!("modules_to_save {}", report.modules_to_save.join(", "));
    }
    let dtypes: Vec<String> = report
        .dtypes
        .iter()
        .map(|(dtype, count)| format!("{count} x {dtype}"))
        .collect();
    println!(
        "file            {} parameters, {} bytes, tensors: {}",
        report.parameters,
        report.file_bytes,
        dtypes.join(", ")
    );
}

fn sites(sites: &[SiteReport]) {
    let width = sites
        .iter()
        .map(|site| site.path.len())
        .max()
        .unwrap_or(0)
        .max(4);
    if !sites.is_empty() {
        println!(
            "{:<width$}    d_in x d_out  rank  alpha     scale       ||A||       ||B||    ||s B A||  eff.rank  stable",
            "site"
        );
    }
    for site in sites {
        let size =
            |size: Option<usize>| size.map_or_else(|| "?".to_owned(), |size| size.to_string());
        let shape = format!("{} x {}", size(site.d_in), size(site.d_out));
        let start = format!(
            "{:<width$}  {shape:>14}  {:>4}  {:>5}",
            site.path, site.rank, site.alpha
        );
        if site.pairs.is_empty() {
            println!(
                "{:<width$}  {} values; --model tells what they do",
                site.path, site.parameters
            );
        }
        for pair in &site.pairs {
            println!(
                "{start}  {:>8.4}  {:>10.4e}  {:>10.4e}  {:>11.4e}  {:>8}  {:>6}",
                pair.scale,
                pair.norm_a,
                pair.norm_b,
                pair.norm_update,
                decimals(pair.effective_rank),
                decimals(pair.stable_rank)
            );
        }
    }
}

fn decimals(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn print_fit(fit: &Fit) {
    let verdict = if fit.loads {
        "the adapter loads"
    } else {
        "the adapter does not load"
    };
    println!("base model {}: {verdict}", fit.model.display());
    changes(&fit.changes);
    list("missing site", &fit.missing_sites);
    list("unexpected site", &fit.unexpected_sites);
    list("unmatched target", &fit.unmatched_targets);
    list("problem", &grouped(&fit.problems));
}

fn list(name: &str, items: &[String]) {
    for item in items {
        println!("{name}: {item}");
    }
}

/// One line per layer: how far its weight moved, and the method's own numbers.
fn changes(changes: &[SiteChange]) {
    let width = changes
        .iter()
        .map(|site| site.path.len())
        .max()
        .unwrap_or(0);
    for site in changes {
        let change = site.weight.map_or_else(
            || "depends on the input".to_owned(),
            |change| format!("{change:.3e}"),
        );
        print!("{:<width$}  ||W' - W|| / ||W|| {change}", site.path);
        for fact in &site.facts {
            print!(", {} {}", fact.name, number(fact.value));
        }
        println!();
    }
}

/// Counts as they are, everything else with four digits.
fn number(value: f64) -> String {
    if value >= 1.0 && value.fract() == 0.0 {
        format!("{value}")
    } else {
        format!("{value:.3e}")
    }
}
