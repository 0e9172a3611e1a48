//! The comparison of two adapter folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use peft_core::file::{AdapterFolder, HostTensor, PeftConfig, TensorKey, index_keys};
use peft_core::low_rank::LowRank;
use peft_recycle::ComparedSite;
use serde::Serialize;
use serde_json::Value;

use crate::Result;
use crate::error::Context;
use crate::report::FolderMethod;

/// Everything that differs between two folders.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The one folder.
    pub a: PathBuf,
    /// The other.
    pub b: PathBuf,
    /// Every tensor has the same values and every layer the same scale: the adapters do the same.
    pub equal: bool,
    /// Fields of the configurations that differ; null where a side has none.
    pub config: Vec<FieldDifference>,
    /// Layers that both adapt, by a low-rank pair in each.
    pub sites: Vec<SiteDifference>,
    /// Layers that only one of them adapts.
    pub only_in_a: Vec<String>,
    /// The same of the other.
    pub only_in_b: Vec<String>,
    /// Tensors outside the pairs that differ: heads, magnitudes, other modules trained as a whole.
    pub tensors: Vec<TensorDifference>,
    /// Largest relative difference of a layer that both adapt.
    pub largest: Option<f64>,
}

/// A field that differs.
#[derive(Debug, PartialEq, Serialize)]
pub struct FieldDifference {
    /// Its name.
    pub field: String,
    /// Its value in the one.
    pub a: Value,
    /// Its value in the other.
    pub b: Value,
}

/// The updates of a layer.
#[derive(Debug, Serialize)]
pub struct SiteDifference {
    /// Path of the layer.
    pub path: String,
    /// Rank in the one.
    pub rank_a: usize,
    /// Rank in the other.
    pub rank_b: usize,
    /// Frobenius norm of the update of the one.
    pub norm_a: f64,
    /// The same of the other.
    pub norm_b: f64,
    /// `||a - b||_F / max(||a||_F, ||b||_F)`: 0 for equal updates, null for another shape.
    pub relative_difference: Option<f64>,
    /// `<a, b> / (||a|| ||b||)`: 1 for the same direction, null for a zero update or another shape.
    pub cosine: Option<f64>,
    /// Principal angles in radians between the spaces of the input that the two read, in rising order; none for another shape.
    pub angles_a: Vec<f64>,
    /// The same between the spaces of the output that they write; none where an update is zero.
    pub angles_b: Vec<f64>,
}

/// A tensor outside the pairs.
#[derive(Debug, Serialize)]
pub struct TensorDifference {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the one; null where it is not there.
    pub shape_a: Option<Vec<usize>>,
    /// Its shape in the other.
    pub shape_b: Option<Vec<usize>>,
    /// `||a - b|| / max(||a||, ||b||)`, null where a side has none or another shape.
    pub relative_difference: Option<f64>,
}

/// One folder, taken apart.
struct Side<'a> {
    tensors: BTreeMap<TensorKey, &'a HostTensor>,
    method: Option<FolderMethod>,
    updates: BTreeMap<String, Vec<LowRank>>,
    /// Keys of the tensors in the updates.
    factors: BTreeSet<TensorKey>,
    scales: BTreeMap<String, Vec<u64>>,
}

impl Difference {
    /// Compares two folders.
    ///
    /// # Errors
    /// When keys of a folder contradict each other, or a pattern of its configuration is invalid.
    pub fn between(
        (path_a, a): (&Path, &AdapterFolder),
        (path_b, b): (&Path, &AdapterFolder),
    ) -> Result<Self> {
        let side = |path: &Path, folder| {
            Side::new(folder).with_context(|| format!("adapter {}", path.display()))
        };
        let (config_a, config_b) = (&a.config, &b.config);
        let (a, b) = (side(path_a, a)?, side(path_b, b)?);
        let sites: Vec<SiteDifference> = a
            .updates
            .iter()
            .filter_map(|(path, left)| Some((path, left, b.updates.get(path)?)))
            .filter_map(|(path, left, right)| site(path, left, right))
            .collect();
        let only = |left: &Side<'_>, right: &Side<'_>| {
            let paths = left.updates.keys();
            paths
                .filter(|path| !right.updates.contains_key(*path))
                .cloned()
                .collect()
        };
        let relative = sites.iter().filter_map(|site| site.relative_difference);
        Ok(Self {
            a: path_a.to_owned(),
            b: path_b.to_owned(),
            equal: a.method_id() == b.method_id() && same_tensors(&a, &b) && a.scales == b.scales,
            config: fields(config_a, config_b),
            largest: relative.reduce(f64::max),
            only_in_a: only(&a, &b),
            only_in_b: only(&b, &a),
            tensors: others(&a, &b),
            sites,
        })
    }
}

impl<'a> Side<'a> {
    fn new(folder: &'a AdapterFolder) -> Result<Self> {
        let method = FolderMethod::of(&folder.config)?;
        let known = method
            .as_ref()
            .map(FolderMethod::tensor_names)
            .unwrap_or_default();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let index = index_keys(folder.tensors.keys().map(String::as_str), &known)?;
        let tensors: BTreeMap<TensorKey, &HostTensor> = index
            .into_iter()
            .filter_map(|(key, raw)| Some((key, folder.tensors.get(&raw)?)))
            .collect();
        let mut side = Self {
            tensors,
            method,
            updates: BTreeMap::new(),
            factors: BTreeSet::new(),
            scales: BTreeMap::new(),
        };
        side.pair_up(&known)?;
        Ok(side)
    }

    fn method_id(&self) -> Option<&'static str> {
        self.method.as_ref().map(|method| method.entry.id)
    }

    /// Finds the low-rank pairs of every layer.
    fn pair_up(&mut self, known: &[&str]) -> Result<()> {
        let Some(method) = &self.method else {
            return Ok(());
        };
        let adapted = self
            .tensors
            .keys()
            .filter(|key| known.contains(&key.tensor.as_str()));
        let paths: BTreeSet<&str> = adapted.map(|key| key.module.as_str()).collect();
        for path in paths {
            let tensors = self.tensors.iter().filter(|(key, _)| key.module == path);
            let values = tensors.map(|(_, tensor)| tensor.data.len()).sum();
            if !method.plausible_at(path, values)? {
                continue;
            }
            let key = |file: &str| TensorKey {
                module: path.to_owned(),
                tensor: file.to_owned(),
            };
            for pair in method.pairs_at(path, |file| self.tensors.contains_key(&key(file)))? {
                let (key_a, key_b) = (key(&pair.a.file), key(&pair.b.file));
                let factor = |key: &TensorKey| self.tensors.get(key).copied();
                let (Some(a), Some(b)) = (factor(&key_a), factor(&key_b)) else {
                    continue;
                };
                let update = LowRank::new((a, pair.a.layout), (b, pair.b.layout), pair.scale);
                self.scales
                    .entry(path.to_owned())
                    .or_default()
                    .push(pair.scale.to_bits());
                if let Some(update) = update {
                    self.updates
                        .entry(path.to_owned())
                        .or_default()
                        .push(update);
                    self.factors.extend([key_a, key_b]);
                }
            }
        }
        Ok(())
    }
}

fn same_tensors(a: &Side<'_>, b: &Side<'_>) -> bool {
    let same = |left: &HostTensor, right: &HostTensor| {
        let bits = |tensor: &HostTensor| {
            tensor
                .data
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        left.shape == right.shape && bits(left) == bits(right)
    };
    a.tensors.len() == b.tensors.len()
        && a.tensors
            .iter()
            .all(|(key, left)| b.tensors.get(key).is_some_and(|right| same(left, right)))
}

/// The updates of a layer, if each side has one pair there.
fn site(path: &str, left: &[LowRank], right: &[LowRank]) -> Option<SiteDifference> {
    let ([left], [right]) = (left, right) else {
        return None;
    };
    let (norm_a, norm_b) = (left.norm(), right.norm());
    let largest = norm_a.max(norm_b);
    let shape = |update: &LowRank| (update.d_in(), update.d_out());
    let compared = (shape(left) == shape(right))
        .then(|| ComparedSite::between(path, &left.into(), &right.into()).ok())
        .flatten();
    let distance = compared.as_ref().map(|site| {
        // Equal factors leave no rounding either.
        match left == right {
            true => 0.0,
            false => site.alike.difference.squared_error.sqrt(),
        }
    });
    Some(SiteDifference {
        path: path.to_owned(),
        rank_a: left.rank(),
        rank_b: right.rank(),
        norm_a,
        norm_b,
        relative_difference: distance.map(|norm| if largest > 0.0 { norm / largest } else { norm }),
        cosine: compared
            .as_ref()
            .filter(|_| norm_a > 0.0 && norm_b > 0.0)
            .map(|site| site.alike.cosine()),
        angles_a: (compared.as_ref()).map_or_else(Vec::new, |site| site.angles_a.clone()),
        angles_b: compared.map_or_else(Vec::new, |site| site.angles_b),
    })
}

/// Tensors outside the pairs that differ.
fn others(a: &Side<'_>, b: &Side<'_>) -> Vec<TensorDifference> {
    let keys: BTreeSet<&TensorKey> = a
        .tensors
        .keys()
        .chain(b.tensors.keys())
        .filter(|key| !a.factors.contains(*key) && !b.factors.contains(*key))
        .collect();
    keys.into_iter()
        .filter_map(|key| {
            let (left, right) = (a.tensors.get(key), b.tensors.get(key));
            let relative = left
                .zip(right)
                .and_then(|(left, right)| relative(left, right));
            (relative != Some(0.0)).then(|| TensorDifference {
                name: key.to_string(),
                shape_a: left.map(|tensor| tensor.shape.clone()),
                shape_b: right.map(|tensor| tensor.shape.clone()),
                relative_difference: relative,
            })
        })
        .collect()
}

fn relative(left: &HostTensor, right: &HostTensor) -> Option<f64> {
    if left.shape != right.shape {
        return None;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    let wide = |tensor: &HostTensor| norm(&mut tensor.data.iter().map(|value| f64::from(*value)));
    let pairs = left.data.iter().zip(&right.data);
    let difference = norm(&mut pairs.map(|(left, right)| f64::from(*left) - f64::from(*right)));
    let largest = wide(left).max(wide(right));
    Some(if largest > 0.0 {
        difference / largest
    } else {
        difference
    })
}

/// Fields that differ; absent and null are the same, and so are two lists of the same names in another order.
fn fields(a: &PeftConfig, b: &PeftConfig) -> Vec<FieldDifference> {
    let keys: BTreeSet<&String> = a.raw.keys().chain(b.raw.keys()).collect();
    keys.into_iter()
        .map(|field| FieldDifference {
            field: field.clone(),
            a: a.raw.get(field).cloned().unwrap_or(Value::Null),
            b: b.raw.get(field).cloned().unwrap_or(Value::Null),
        })
        .filter(|field| as_set(&field.a) != as_set(&field.b))
        .collect()
}

/// A list of names, sorted.
fn as_set(value: &Value) -> Value {
    match value.as_array() {
        Some(items) if items.iter().all(Value::is_string) => {
            let mut items = items.clone();
            items.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
            Value::Array(items)
        }
        _ => value.clone(),
    }
}
