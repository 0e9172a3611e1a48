//! The combination of the pairs of one site, by mode.

use faer::Mat;
use peft_format::Factors;
use peft_format::decompose::Decomposed;
use peft_format::linalg::beside;

use super::{Arithmetic, Mode};
use crate::decompose::{ALL, strongest};
use crate::error::SubspaceError;
use crate::options::Components;

/// An adapter at one site.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// Name of the adapter.
    pub(super) name: &'a str,
    /// The user's weight `w`.
    pub(super) weight: f64,
    /// Its scale `s` at this site.
    pub(super) scale: f64,
    /// A and B as the file has them.
    pub(super) factors: Factors,
}

impl Part<'_> {
    /// `c = w s`.
    fn coefficient(&self) -> f64 {
        self.weight * self.scale
    }
}

/// `sum_i w_i s_i B_i A_i`, of the sum of the ranks.
pub(super) fn exact_sum(parts: &[Part<'_>]) -> Factors {
    let a: Vec<Mat<f64>> = parts.iter().map(|part| part.factors.a.clone()).collect();
    let b: Vec<Mat<f64>> = (parts.iter())
        .map(|part| &part.factors.b * faer::Scale(part.coefficient()))
        .collect();
    Factors {
        a: beside(&a),
        b: beside(&b),
    }
}

/// The pair that stands for all parts.
pub(super) fn combined(
    mode: &Mode,
    site: &str,
    parts: &[Part<'_>],
    exact: &Factors,
) -> Result<Factors, SubspaceError> {
    match mode {
        Mode::Cat => Ok(exact.clone()),
        Mode::Exact => strongest(&Decomposed::of_factors(exact)?, ALL),
        Mode::Svd(components) => strongest(&Decomposed::of_factors(exact)?, *components),
        Mode::Factors(rule) => Ok(of_factors(rule, site, parts)),
        Mode::Updates(rule, components) => of_updates(rule, *components, site, parts),
    }
}

/// The rule on the As and on the Bs, with `sign(c) sqrt(|c|)` and `sqrt(|c|)` as weights.
fn of_factors(rule: &Arithmetic, site: &str, parts: &[Part<'_>]) -> Factors {
    let named = |side: &str, weight: fn(f64) -> f64| -> Vec<(String, f64)> {
        let name = |part: &Part<'_>| format!("{site}.{side}.{}", part.name);
        parts
            .iter()
            .map(|part| (name(part), weight(part.coefficient())))
            .collect()
    };
    let (a, b) = (
        |at: usize| parts[at].factors.a.clone(),
        |at: usize| parts[at].factors.b.clone(),
    );
    let root = |c: f64| c.abs().sqrt();
    let signed = |c: f64| {
        if c >= 0.0 { c.sqrt() } else { -c.abs().sqrt() }
    };
    Factors {
        a: rule.apply(parts[0].factors.a.shape(), &named("A", signed), a),
        b: rule.apply(parts[0].factors.b.shape(), &named("B", root), b),
    }
}

/// The rule on the updates `s B A`, with the users' weights, and its decomposition.
fn of_updates(
    rule: &Arithmetic,
    components: Components,
    site: &str,
    parts: &[Part<'_>],
) -> Result<Factors, SubspaceError> {
    let named: Vec<(String, f64)> = (parts.iter())
        .map(|part| (format!("{site}.{}", part.name), part.weight))
        .collect();
    let first = &parts[0].factors;
    let shape = (first.b.nrows(), first.a.nrows());
    let update = |at: usize| {
        let Part { factors, scale, .. } = &parts[at];
        &factors.b * factors.a.transpose() * faer::Scale(*scale)
    };
    let merged = rule.apply(shape, &named, update);
    strongest(&Decomposed::of_dense(merged.as_ref())?, components)
}
