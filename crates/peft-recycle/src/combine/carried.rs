//! What becomes of tensors that are no factors: classification heads and other saved modules, biases.

use std::collections::{BTreeMap, BTreeSet};

use peft_format::file::HostTensor;

use super::CombineError;
use crate::error::RecycleError;
use crate::pool::{Member, Pool};

/// Weights whose sum is at most this share of the sum of their magnitudes add up to zero but for rounding.
const CANCELLED: f64 = 1e-12;

/// Whose tensors that are no factors the combination gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heads {
    /// The average `sum_i w_i h_i / sum_i w_i` of all, which must have the same tensors.
    #[default]
    Average,
    /// Those of the adapter of this name.
    Of(String),
}

/// The adapter whose configuration the combination has.
pub(super) fn model<'a>(pool: &'a Pool, heads: &Heads) -> Result<&'a Member, CombineError> {
    match heads {
        Heads::Average => Ok(&pool.members()[0]),
        Heads::Of(name) => {
            let mut members = pool.members().iter();
            let named = members.find(|member| member.name() == name);
            named.ok_or_else(|| CombineError::NoMember {
                name: name.clone(),
                known: (pool.members().iter())
                    .map(|member| member.name().to_owned())
                    .collect(),
            })
        }
    }
}

/// The tensors that are no factors.
pub(super) fn carried(
    pool: &Pool,
    weights: &[f64],
    heads: &Heads,
) -> Result<BTreeMap<String, HostTensor>, CombineError> {
    match heads {
        Heads::Of(_) => read(model(pool, heads)?),
        Heads::Average => average(pool, weights),
    }
}

fn read(member: &Member) -> Result<BTreeMap<String, HostTensor>, CombineError> {
    let fault = |fault| RecycleError::member(member.folder().to_owned(), fault);
    Ok(member.carried().map_err(fault)?)
}

fn average(pool: &Pool, weights: &[f64]) -> Result<BTreeMap<String, HostTensor>, CombineError> {
    let members = pool.members();
    let keys: BTreeSet<&str> = members.iter().flat_map(Member::carried_keys).collect();
    let total: f64 = weights.iter().sum();
    let mut problems: Vec<String> = Vec::new();
    for key in &keys {
        let lacks = |member: &&Member| !member.carried_keys().any(|other| other == *key);
        let without: Vec<&str> = members.iter().filter(lacks).map(Member::name).collect();
        if !without.is_empty() {
            problems.push(format!("`{key}` is missing in {}", without.join(", ")));
        }
    }
    let size: f64 = weights.iter().map(|weight| weight.abs()).sum();
    if !keys.is_empty() && total.abs() <= CANCELLED * size {
        problems.push("the weights add up to zero".to_owned());
    }
    if !problems.is_empty() {
        return Err(CombineError::Heads { problems });
    }
    let mut sums: BTreeMap<String, (HostTensor, Vec<f64>)> = BTreeMap::new();
    for (member, weight) in members.iter().zip(weights) {
        for (key, tensor) in read(member)? {
            let count = tensor.data.len();
            let (first, sum) =
                (sums.entry(key.clone())).or_insert_with(|| (tensor.clone(), vec![0.0; count]));
            if first.shape != tensor.shape {
                let (expected, found, name) = (&first.shape, &tensor.shape, member.name());
                problems.push(format!("`{key}` is {found:?} in {name}, not {expected:?}"));
                continue;
            }
            if !tensor.stored.is_float() && first.data != tensor.data {
                problems.push(format!("`{key}` is another number in {}", member.name()));
                continue;
            }
            if first.stored != tensor.stored {
                first.stored = peft_format::file::StoredDtype::F32;
            }
            for (sum, value) in sum.iter_mut().zip(&tensor.data) {
                *sum += weight / total * f64::from(*value);
            }
        }
    }
    if problems.is_empty() {
        Ok(sums.into_iter().map(rounded).collect())
    } else {
        Err(CombineError::Heads { problems })
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "files hold single precision"
)]
fn rounded((key, (first, sum)): (String, (HostTensor, Vec<f64>))) -> (String, HostTensor) {
    let data = sum.into_iter().map(|value| value as f32).collect();
    (key, HostTensor { data, ..first })
}
