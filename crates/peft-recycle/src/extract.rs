//! A LoRA from two models: what training did to each weight, cut to a rank.
//!
//! ```text
//! D = W_tuned - W_base = U diag(sigma) V^T,   B = U_r diag(sqrt(sigma_r)) [d_out, r],   A = diag(sqrt(sigma_r)) V_r^T [r, d_in]
//! ```
//!
//! `B A` is the nearest matrix of rank `r` to `D`, off by the dropped singular values (Eckart and Young 1936). One weight is in memory at a
//! time. The rank is fixed or follows from a share of the energy, weight by weight; a weight that did not change gets no pair. Everything
//! that changed and is not in the adapter (embeddings, heads, norms, biases, weights that are no target) is reported, because the adapter on
//! the base is the tuned model only as far as that list is empty.
//!
//! Sites are called as in the files; where one model is the bare body of the other, as in the one with a head. Weights must be stored
//! as `[d_out, d_in]`, or all but those of heads as `[d_in, d_out]` with [`ExtractOptions::fan_in_fan_out`] (GPT-2). Whether a weight belongs
//! to a linear layer, an embedding or a head is told by its name alone.

mod checkpoint;
mod error;

use std::collections::BTreeSet;
use std::path::Path;

use faer::Mat;
use indexmap::IndexMap;
use peft_format::Site;
use peft_format::decompose::Decomposed;
use peft_format::file::{HostTensor, PeftConfig};
use peft_format::target::{Target, TargetRules, UnmatchedTarget};

use crate::decompose::strongest;
use crate::deviation::Deviation;
use crate::error::SubspaceError;
use crate::layers::{is_embedding, is_head};
use crate::options::Components;
use crate::plain_lora::PlainLora;

use checkpoint::Checkpoint;
pub use error::ExtractError;

const WEIGHT: &str = ".weight";

/// How an adapter is extracted.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// Which weights; `all-linear` takes all with two dimensions but embeddings and heads. A list or a regex may name heads too.
    pub target: TargetRules,
    /// The rank of each, or the share of the sum of the squared singular values that it has to reach.
    pub components: Components,
    /// Whether the files hold the weights as `[d_in, d_out]`; heads have `[d_out, d_in]` in any case.
    pub fan_in_fan_out: bool,
}

impl ExtractOptions {
    /// Every linear layer, of this size.
    #[must_use]
    pub fn new(components: Components) -> Self {
        Self {
            target: TargetRules::new(Target::AllLinear),
            components,
            fan_in_fan_out: false,
        }
    }

    /// Whether the weight of a site is stored as `[d_in, d_out]`.
    fn transposes(&self, path: &str) -> bool {
        self.fan_in_fan_out && !is_head(path)
    }
}

/// A weight of which the adapter has a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractedSite {
    /// Rank of the pair.
    pub rank: usize,
    /// Numerical rank of the whole difference.
    pub full_rank: usize,
    /// Between the difference and the product of the pair as it stands in the file.
    pub error: Deviation,
}

/// A tensor that changed and is not in the adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Name of the tensor.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How far the tuned tensor is from the base's.
    pub change: Deviation,
}

/// What was extracted, and what was not.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// Each site by its path.
    pub sites: IndexMap<String, ExtractedSite>,
    /// Over all sites.
    pub error: Deviation,
    /// Over everything that was compared: what is left out is lost whole.
    pub whole: Deviation,
    /// Tensors that changed and are not in the adapter.
    pub left_out: Vec<LeftOut>,
    /// Names of tensors that one model lacks, that have other shapes there, or that are no floating-point numbers.
    pub not_compared: Vec<String>,
    /// Entries of the target that name nothing.
    pub unmatched: Vec<UnmatchedTarget>,
}

/// Extracts a LoRA of scale 1 that makes `tuned` of `base`, both model folders, and writes it to a folder that must be new or empty.
///
/// # Errors
/// [`ExtractError`]; nothing is written then.
///
/// # Numerics
/// In `f64`, rounded once to single precision. Of every weight the full singular value decomposition, `d^3` operations.
pub fn extract(
    base: &Path,
    tuned: &Path,
    options: &ExtractOptions,
    out: &Path,
) -> Result<Extracted, ExtractError> {
    let (mut first, mut second) = (Checkpoint::open(base)?, Checkpoint::open(tuned)?);
    Checkpoint::align(&mut first, &mut second);
    let (common, not_compared) = common(&first, &second);
    refuse_others(&first, &common, &not_compared, options)?;
    let (selected, unmatched) = selected(&first, &common, options)?;
    let mut lora = PlainLora::default();
    let (mut sites, mut left_out) = (IndexMap::new(), Vec::new());
    let mut error = Deviation::default();
    for name in common {
        let (before, after) = (first.read(&name)?, second.read(&name)?);
        if before.data == after.data {
            continue;
        }
        match name
            .strip_suffix(WEIGHT)
            .filter(|path| selected.contains(*path))
        {
            None => left_out.push(LeftOut {
                change: change(&before, &after),
                shape: before.shape,
                name,
            }),
            Some(path) => {
                let transposed = options.transposes(path);
                let difference = difference(&before, &after, transposed);
                let site = pair(&mut lora, path, &difference, options.components);
                let site = site.map_err(|source| ExtractError::Weight {
                    weight: name.clone(),
                    source,
                })?;
                error += site.error;
                sites.insert(path.to_owned(), site);
            }
        }
    }
    if sites.is_empty() {
        let selected = selected.len();
        return Err(ExtractError::Unchanged { selected });
    }
    lora.write(config(base, options), out)?;
    let mut whole = error;
    for lost in &left_out {
        whole += Deviation::new(lost.change.squared_error, lost.change.squared_error);
    }
    Ok(Extracted {
        sites,
        error,
        whole,
        left_out,
        not_compared,
        unmatched,
    })
}

/// Refuses a target that names something of which no pair is made, rather than leaving it out.
fn refuse_others(
    base: &Checkpoint,
    common: &[String],
    not_compared: &[String],
    options: &ExtractOptions,
) -> Result<(), ExtractError> {
    if options.target.target == Target::AllLinear {
        return Ok(());
    }
    let path = |name: &String| Some(name.strip_suffix(WEIGHT)?.to_owned());
    let others = common.iter().filter(|name| !is_pair(base, name));
    let others: Vec<Site> = others
        .chain(not_compared)
        .filter_map(path)
        .map(|path| Site::new(path, 1, 1))
        .collect();
    let Ok(selection) = options.target.select(&others, &[], &[]) else {
        return Ok(());
    };
    Err(ExtractError::NoPair {
        paths: selection
            .matched
            .iter()
            .map(|at| others[*at].path.clone())
            .collect(),
    })
}

/// Whether a tensor is the weight of a linear layer or a head.
fn is_pair(base: &Checkpoint, name: &str) -> bool {
    let path = name.strip_suffix(WEIGHT);
    let shape = base.shape(name).unwrap_or_default();
    let is_matrix = matches!(shape, [rows, columns] if *rows > 0 && *columns > 0);
    is_matrix && path.is_some_and(|path| !is_embedding(path))
}

/// The tensors of floating-point numbers that both have in one shape, and the names of all others.
fn common(base: &Checkpoint, tuned: &Checkpoint) -> (Vec<String>, Vec<String>) {
    let mut names: Vec<String> = base
        .names()
        .chain(tuned.names())
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().partition(|name| {
        let float = base.is_float(name) && tuned.is_float(name);
        float && base.shape(name) == tuned.shape(name)
    })
}

/// Paths of the weights that the target selects, and its entries that select nothing.
fn selected(
    base: &Checkpoint,
    common: &[String],
    options: &ExtractOptions,
) -> Result<(BTreeSet<String>, Vec<UnmatchedTarget>), ExtractError> {
    let site = |name: &String| {
        let path = name.strip_suffix(WEIGHT).filter(|_| is_pair(base, name))?;
        let &[rows, columns] = base.shape(name)? else {
            return None;
        };
        let (d_in, d_out) = if options.transposes(path) {
            (rows, columns)
        } else {
            (columns, rows)
        };
        Some(Site::new(path, d_in, d_out))
    };
    let sites: Vec<Site> = common.iter().filter_map(site).collect();
    let heads: Vec<&str> = (sites.iter())
        .map(|site| site.path.as_str())
        .filter(|path| is_head(path))
        .collect();
    let selection = options.target.select(&sites, &heads, &[])?;
    let paths = selection
        .matched
        .into_iter()
        .map(|at| sites[at].path.clone());
    Ok((paths.collect(), selection.unmatched))
}

/// Adds the pair of one difference `[d_out, d_in]`.
fn pair(
    lora: &mut PlainLora,
    path: &str,
    difference: &Mat<f64>,
    components: Components,
) -> Result<ExtractedSite, SubspaceError> {
    let decomposed = Decomposed::of_dense(difference.as_ref())?;
    let written = lora.push(path, &strongest(&decomposed, components)?)?;
    let rest = difference - &written.b * written.a.transpose();
    Ok(ExtractedSite {
        rank: written.a.ncols(),
        full_rank: decomposed.values.len(),
        error: Deviation::new(rest.squared_norm_l2(), difference.squared_norm_l2()),
    })
}

/// `W_tuned - W_base [d_out, d_in]`.
fn difference(before: &HostTensor, after: &HostTensor, fan_in_fan_out: bool) -> Mat<f64> {
    let (rows, columns) = (before.shape[0], before.shape[1]);
    let value = |row: usize, column: usize| {
        let at = row * columns + column;
        f64::from(after.data[at]) - f64::from(before.data[at])
    };
    if fan_in_fan_out {
        Mat::from_fn(columns, rows, |row, column| value(column, row))
    } else {
        Mat::from_fn(rows, columns, value)
    }
}

/// How far a tensor is from what it was.
fn change(before: &HostTensor, after: &HostTensor) -> Deviation {
    let pairs = before.data.iter().zip(&after.data);
    let error = pairs.map(|(before, after)| (f64::from(*after) - f64::from(*before)).powi(2));
    let norm = before.data.iter().map(|value| f64::from(*value).powi(2));
    Deviation::new(error.sum(), norm.sum())
}

fn config(base: &Path, options: &ExtractOptions) -> PeftConfig {
    let mut config = PeftConfig::new("LORA", Target::List(Vec::new()));
    config.base_model_name_or_path = Some(base.display().to_string());
    config.fan_in_fan_out = options.fan_in_fan_out;
    // The paths of the sites, because a weight that did not change has no pair.
    config.target = None;
    config
}
