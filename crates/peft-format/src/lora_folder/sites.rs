//! The tensors of a folder, checked against its configuration and against each other before any values are read.

use std::collections::BTreeMap;

use super::{FACTORS, LoraFault, MAGNITUDES};
use crate::file::{
    CONFIG_FILE, PeftConfig, TensorFile, TensorKey, TensorProblem, key, merged_shapes, quantised,
};
use crate::ranks::{Ranks, Scaling};

/// Where the pair of one site stands and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSite {
    /// Input width.
    pub d_in: usize,
    /// Output width.
    pub d_out: usize,
    /// Rank of the pair.
    pub rank: usize,
    /// `alpha / r`, or `alpha / sqrt(r)` for rsLoRA, patterns applied.
    pub scale: f64,
    /// Keys of A and B in the file.
    pub(super) keys: [String; 2],
}

/// Everything that is no factor, by the key that PEFT writes.
pub(super) fn carried(
    index: &BTreeMap<TensorKey, String>,
    config: &PeftConfig,
) -> Result<BTreeMap<String, String>, LoraFault> {
    let mut carried = BTreeMap::new();
    for (parsed, raw) in index {
        let tensor = parsed.tensor.as_str();
        let is_magnitude = MAGNITUDES.contains(&tensor);
        if FACTORS.contains(&tensor) {
            continue;
        }
        let foreign =
            (parsed.module.split('.').chain([tensor])).any(|part| part.starts_with("lora_"));
        if is_magnitude != foreign || is_magnitude && !config.use_dora {
            let problem = if is_magnitude {
                format!("`{raw}` belongs to DoRA, but use_dora is false")
            } else {
                format!(
                    "`{raw}` belongs to an adapter of another kind of layer; only adapters of linear layers are read here"
                )
            };
            return Err(LoraFault::Site {
                site: parsed.module.clone(),
                problem,
            });
        }
        let [magnitude, _] = MAGNITUDES;
        let tensor = if is_magnitude { magnitude } else { tensor };
        carried.insert(key(&parsed.module, tensor), raw.clone());
    }
    Ok(carried)
}

/// The sites, whose tensors are pairs of the ranks that the configuration gives them.
pub(super) fn sites(
    index: &BTreeMap<TensorKey, String>,
    config: &PeftConfig,
    file: &TensorFile,
) -> Result<BTreeMap<String, LoraSite>, LoraFault> {
    let shapes = index.values().map(|raw| (raw.as_str(), shape(file, raw)));
    let mut problems = merged_shapes(shapes);
    problems.extend(formats(index, file));
    if !problems.is_empty() {
        return Err(LoraFault::Tensors(problems));
    }
    let (ranks, scaling) = (Ranks::of(config), Scaling::of(config));
    let mut sites = BTreeMap::new();
    for (parsed, raw) in index {
        let site = &parsed.module;
        if !FACTORS.contains(&parsed.tensor.as_str()) {
            continue;
        }
        let other = |tensor: &str| {
            index.get(&TensorKey {
                module: site.clone(),
                tensor: tensor.to_owned(),
            })
        };
        let fault = |problem: String| LoraFault::Site {
            site: site.clone(),
            problem,
        };
        let [Some(a), Some(b)] = FACTORS.map(other) else {
            return Err(fault(format!("`{raw}` lacks the other factor of its pair")));
        };
        if config.use_dora && MAGNITUDES.into_iter().all(|name| other(name).is_none()) {
            return Err(fault(
                "use_dora is true, but there is no magnitude".to_owned(),
            ));
        }
        let (rank, alpha) = ranks.at(site)?;
        let (d_in, d_out) = widths(shape(file, a), shape(file, b), rank).map_err(fault)?;
        sites.entry(site.clone()).or_insert_with(|| LoraSite {
            d_in,
            d_out,
            rank,
            scale: scaling.factor(rank, alpha),
            keys: [a.clone(), b.clone()],
        });
    }
    if sites.is_empty() {
        return Err(LoraFault::NoPairs);
    }
    Ok(sites)
}

/// `(d_in, d_out)` of a pair; what was expected and found where it is none of this rank.
fn widths(a: &[usize], b: &[usize], rank: usize) -> Result<(usize, usize), String> {
    match (a, b) {
        (&[r, d_in], &[d_out, other]) if r == rank && other == rank && d_in > 0 && d_out > 0 => {
            Ok((d_in, d_out))
        }
        _ => Err(format!(
            "expected lora_A [{rank}, d_in] and lora_B [d_out, {rank}] for the rank of {CONFIG_FILE}, found {a:?} and {b:?}"
        )),
    }
}

/// Every tensor in a format that is not read, or that a trained tensor cannot have.
fn formats(index: &BTreeMap<TensorKey, String>, file: &TensorFile) -> Vec<TensorProblem> {
    let mut problems = Vec::new();
    let mut known = Vec::new();
    for raw in index.values() {
        match file.stored(raw) {
            Some(Ok(stored)) => known.push((raw.as_str(), stored)),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    problems.extend(quantised(known));
    problems
}

fn shape<'a>(file: &'a TensorFile, name: &str) -> &'a [usize] {
    file.shape(name).unwrap_or_default()
}
