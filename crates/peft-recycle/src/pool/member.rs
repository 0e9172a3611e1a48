//! One adapter folder of a pool: its configuration, where its factors stand in its file, and what else it brings.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faer::{Mat, MatRef};
use peft_core::file::{
    CONFIG_FILE, FileError, HostTensor, PICKLE_FILE, PeftConfig, TENSOR_FILE, TensorFile,
    TensorKey, TensorProblem, index_keys, key, read_config, read_pickle, superseded, write_tensors,
};
use peft_core::low_rank::LowRank;
use peft_core::target::pattern_value;
use tempfile::TempPath;

use super::Folding;
use crate::error::MemberFault;

const A: &str = "lora_A.weight";
const B: &str = "lora_B.weight";
const MAGNITUDE: &str = "lora_magnitude_vector";
const MAGNITUDE_WEIGHT: &str = "lora_magnitude_vector.weight";

/// Where a member's pair at one site stands and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberSite {
    /// Input width.
    pub d_in: usize,
    /// Output width.
    pub d_out: usize,
    /// Rank of the pair.
    pub rank: usize,
    /// `alpha / r`, or `alpha / sqrt(r)` for rsLoRA, patterns applied.
    pub scale: f64,
    /// Keys of A and B in the file.
    keys: [String; 2],
}

/// A pair of factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// `A^T [d_in, r]`.
    pub a: Mat<f64>,
    /// `B [d_out, r]`.
    pub b: Mat<f64>,
}

impl From<&LowRank> for Factors {
    fn from(update: &LowRank) -> Self {
        Self {
            a: update.a().to_owned(),
            b: update.b().transpose().to_owned(),
        }
    }
}

/// An adapter folder of which the headers are in memory.
#[derive(Debug, Clone)]
pub struct Member {
    name: String,
    folder: PathBuf,
    config: PeftConfig,
    file: TensorFile,
    /// The copy of a pickled file, removed with the last clone.
    _copy: Option<Arc<TempPath>>,
    sites: BTreeMap<String, MemberSite>,
    /// Key as PEFT writes it, and key in the file, of everything that is no factor.
    carried: BTreeMap<String, String>,
    bytes: u64,
}

impl Member {
    /// Opens a folder: its configuration and the header of its tensor file.
    ///
    /// # Errors
    /// The first of the things that are wrong with it.
    pub(crate) fn open(folder: &Path, name: String) -> Result<Self, MemberFault> {
        let mut config = read_config(folder)?;
        let unsupported = config.unsupported_for_lora();
        if !unsupported.is_empty() {
            return Err(MemberFault::Unsupported(unsupported));
        }
        let (file, copy, held) = open_tensors(folder)?;
        let names = file.names();
        let again = superseded(names.iter().map(String::as_str));
        let names = names.iter().map(String::as_str);
        let names: Vec<&str> = names.filter(|name| !again.contains_key(name)).collect();
        config.add_implied_heads(names.iter().copied());
        let index = index_keys(names, &[A, B, MAGNITUDE, MAGNITUDE_WEIGHT])?;
        let carried = carried(&index, &config)?;
        let sites = sites(&index, &config, &file)?;
        let size = fs::metadata(folder.join(CONFIG_FILE)).map_or(0, |metadata| metadata.len());
        Ok(Self {
            name,
            folder: folder.to_owned(),
            config,
            file,
            _copy: copy.map(Arc::new),
            sites,
            carried,
            bytes: held + size,
        })
    }

    /// Its name in the pool.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its configuration, with the heads that its task implies.
    #[must_use]
    pub fn config(&self) -> &PeftConfig {
        &self.config
    }

    pub(super) fn set_base(&mut self, name: &str) {
        self.config.base_model_name_or_path = Some(name.to_owned());
    }

    /// Its sites by path.
    #[must_use]
    pub fn sites(&self) -> &BTreeMap<String, MemberSite> {
        &self.sites
    }

    /// Bytes of its configuration and its tensor file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keys, as PEFT writes them, of all tensors that are no factors: classification heads, magnitudes of DoRA.
    pub fn carried_keys(&self) -> impl Iterator<Item = &str> {
        self.carried.keys().map(String::as_str)
    }

    /// Reads the tensors that are no factors, by the keys that PEFT writes.
    ///
    /// # Errors
    /// [`MemberFault::File`].
    pub fn carried(&self) -> Result<BTreeMap<String, HostTensor>, MemberFault> {
        let mut read = self.file.read(self.carried.values().map(String::as_str))?;
        Ok(self
            .carried
            .iter()
            .filter_map(|(key, raw)| Some((key.clone(), read.remove(raw)?)))
            .collect())
    }

    /// Reads `[A, B]` at a site as the file has them; `None` if it has none there.
    ///
    /// # Errors
    /// [`MemberFault::File`] and [`MemberFault::NotFinite`].
    pub(crate) fn tensors(&self, path: &str) -> Result<Option<[HostTensor; 2]>, MemberFault> {
        let Some(site) = self.sites.get(path) else {
            return Ok(None);
        };
        let mut tensors = self.file.read(site.keys.iter().map(String::as_str))?;
        for (tensor, values) in &tensors {
            let values = values.data.iter();
            let count = values.filter(|value| !value.is_finite()).count();
            if count > 0 {
                return Err(MemberFault::NotFinite {
                    tensor: tensor.clone(),
                    count,
                });
            }
        }
        let pair = site.keys.each_ref().map(|key| tensors.remove(key));
        Ok(Some(pair.map(Option::unwrap_or_default)))
    }

    /// Reads the pair at a site; `None` if it has none there.
    ///
    /// # Errors
    /// [`MemberFault::File`] and [`MemberFault::NotFinite`].
    pub(crate) fn factors(
        &self,
        path: &str,
        folding: Folding,
    ) -> Result<Option<Factors>, MemberFault> {
        let (Some(site), Some([a, b])) = (self.sites.get(path), self.tensors(path)?) else {
            return Ok(None);
        };
        let scale = match folding {
            Folding::IntoB => site.scale,
            Folding::None => 1.0,
        };
        let values = |tensor: &HostTensor, scale: f64| -> Vec<f64> {
            let values = tensor.data.iter();
            values.map(|value| f64::from(*value) * scale).collect()
        };
        let (a, b) = (values(&a, 1.0), values(&b, scale));
        Ok(Some(Factors {
            a: MatRef::from_column_major_slice(&a, site.d_in, site.rank).to_owned(),
            b: MatRef::from_row_major_slice(&b, site.d_out, site.rank).to_owned(),
        }))
    }
}

/// The tensor file, the copy that it is of a pickled one, and the bytes of the original.
fn open_tensors(folder: &Path) -> Result<(TensorFile, Option<TempPath>, u64), FileError> {
    let path = folder.join(TENSOR_FILE);
    let pickle = folder.join(PICKLE_FILE);
    if path.exists() || !pickle.exists() {
        let file = TensorFile::open(&path)?;
        let bytes = file.bytes();
        return Ok((file, None, bytes));
    }
    let tensors = read_pickle(&pickle)?;
    let bytes = fs::metadata(&pickle).map_or(0, |metadata| metadata.len());
    let copy = tempfile::Builder::new()
        .prefix("peft-pool-")
        .suffix(".safetensors")
        .tempfile()
        .map_err(|source| FileError::Io {
            action: "create a temporary file in",
            path: std::env::temp_dir(),
            source,
        })?
        .into_temp_path();
    write_tensors(&copy, &tensors)?;
    Ok((TensorFile::open(&copy)?, Some(copy), bytes))
}

/// Everything that is no factor, by the key that PEFT writes.
fn carried(
    index: &BTreeMap<TensorKey, String>,
    config: &PeftConfig,
) -> Result<BTreeMap<String, String>, MemberFault> {
    let mut carried = BTreeMap::new();
    for (parsed, raw) in index {
        let tensor = parsed.tensor.as_str();
        let is_magnitude = [MAGNITUDE, MAGNITUDE_WEIGHT].contains(&tensor);
        if [A, B].contains(&tensor) {
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
            return Err(MemberFault::Site {
                site: parsed.module.clone(),
                problem,
            });
        }
        let tensor = if is_magnitude { MAGNITUDE } else { tensor };
        carried.insert(key(&parsed.module, tensor), raw.clone());
    }
    Ok(carried)
}

fn sites(
    index: &BTreeMap<TensorKey, String>,
    config: &PeftConfig,
    file: &TensorFile,
) -> Result<BTreeMap<String, MemberSite>, MemberFault> {
    let mut sites = BTreeMap::new();
    let mut problems = Vec::new();
    for (parsed, raw) in index {
        if ![A, B].contains(&parsed.tensor.as_str()) {
            continue;
        }
        match file.stored(raw) {
            Some(Ok(stored)) if !stored.is_float() => problems.push(TensorProblem::Quantised {
                name: raw.clone(),
                dtype: stored.name(),
            }),
            Some(Err(problem)) => problems.push(problem),
            _ => {}
        }
        let site = &parsed.module;
        let other = |tensor: &str| TensorKey {
            module: site.clone(),
            tensor: tensor.to_owned(),
        };
        let fault = |problem: String| MemberFault::Site {
            site: site.clone(),
            problem,
        };
        let (Some(a), Some(b)) = (index.get(&other(A)), index.get(&other(B))) else {
            return Err(fault(format!("`{raw}` lacks the other factor of its pair")));
        };
        let magnitudes = [MAGNITUDE, MAGNITUDE_WEIGHT];
        if config.use_dora
            && magnitudes
                .iter()
                .all(|name| !index.contains_key(&other(name)))
        {
            return Err(fault(
                "use_dora is true, but there is no magnitude".to_owned(),
            ));
        }
        if parsed.tensor == A {
            sites.insert(site.clone(), pair(site, [a, b], config, file)?);
        }
    }
    if !problems.is_empty() {
        Err(MemberFault::Tensors(problems))
    } else if sites.is_empty() {
        Err(MemberFault::NoPairs)
    } else {
        Ok(sites)
    }
}

fn pair(
    site: &str,
    keys: [&String; 2],
    config: &PeftConfig,
    file: &TensorFile,
) -> Result<MemberSite, MemberFault> {
    let [a, b] = keys.map(|name| file.shape(name).unwrap_or_default());
    let rank = *pattern_value(&config.rank_pattern, site)?.unwrap_or(&config.r);
    let alpha = *pattern_value(&config.alpha_pattern, site)?.unwrap_or(&config.lora_alpha);
    match (a, b) {
        (&[r, d_in], &[d_out, other]) if r == rank && other == rank && d_in > 0 && d_out > 0 => {
            let r = rank as f64;
            Ok(MemberSite {
                d_in,
                d_out,
                rank,
                scale: alpha / if config.use_rslora { r.sqrt() } else { r },
                keys: keys.map(Clone::clone),
            })
        }
        _ => Err(MemberFault::Site {
            site: site.to_owned(),
            problem: format!(
                "expected lora_A [{rank}, d_in] and lora_B [d_out, {rank}] for the rank of {CONFIG_FILE}, found {a:?} and {b:?}"
            ),
        }),
    }
}
