//! An adapter folder on one line.

use std::collections::BTreeSet;

use peft_core::target::is_saved_module;

use peft_run::report::{Report, TensorReport, kind};

/// Names that are shown of a list.
const SHOWN: usize = 6;

/// Method, rank, alpha, layers, type and norm; of what is no change of weights, its kind and size.
pub(super) fn summary(report: &Report) -> String {
    let dtypes: Vec<&str> = report.dtypes.keys().copied().collect();
    let dtypes = dtypes.join("/");
    let Some(method) = report.method else {
        return format!(
            "{} ({}), {} tensors, {} parameters, {dtypes}",
            kind(&report.peft_type).what,
            report.peft_type,
            report.dtypes.values().sum::<usize>(),
            report.parameters
        );
    };
    let mut parts = vec![format!("{method} on {} layers", report.sites.len())];
    if !report.sites.is_empty() {
        parts.push(update(report));
        parts.push(dtypes);
    }
    parts.extend(others(report));
    parts.join(", ")
}

/// Rank, alpha and norm of the update.
fn update(report: &Report) -> String {
    let pairs = || report.sites.iter().flat_map(|site| &site.pairs);
    let ranks: BTreeSet<usize> = report.sites.iter().map(|site| site.rank).collect();
    let ranks: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    let alpha = report
        .alpha
        .map_or_else(|| "-".to_owned(), |alpha| alpha.to_string());
    let sizes = format!("rank {}, alpha {alpha}", ranks.join("/"));
    let effective: Vec<f64> = pairs().filter_map(|pair| pair.effective_rank).collect();
    if pairs().next().is_none() {
        return sizes;
    }
    let squares = pairs().map(|pair| pair.norm_update.powi(2));
    let norm = squares.sum::<f64>().sqrt();
    let mean = effective.iter().sum::<f64>() / effective.len().max(1) as f64;
    format!("{sizes}, ||update|| {norm:.3e}, mean effective rank {mean:.2}")
}

/// What the folder holds beside the layers: saved modules, trained biases, whole copies.
fn others(report: &Report) -> Vec<String> {
    let of_saved = |tensor: &&TensorReport| {
        let mut paths = tensor
            .name
            .match_indices('.')
            .map(|(end, _)| &tensor.name[..end]);
        paths.any(|path| is_saved_module(path, &report.modules_to_save))
    };
    let (saved, rest): (Vec<_>, Vec<_>) = report.other_tensors.iter().partition(of_saved);
    let is_bias = |tensor: &&TensorReport| tensor.name.ends_with(".bias");
    let (biases, copies): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_bias);
    let mut parts = vec![format!("head: {}", named(&saved))];
    if !biases.is_empty() {
        parts.push(format!("trained biases: {}", biases.len()));
    }
    if !copies.is_empty() {
        parts.push(format!("other tensors: {}", named(&copies)));
    }
    parts
}

fn named(tensors: &[&TensorReport]) -> String {
    if tensors.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<&str> = (tensors.iter().take(SHOWN))
        .map(|tensor| tensor.name.as_str())
        .collect();
    match tensors.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
