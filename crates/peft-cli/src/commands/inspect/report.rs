//! The description of an adapter folder, from its files alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use peft_core::file::{AdapterFolder, HostTensor, TENSOR_FILE, TensorKey, index_keys};
use peft_core::target::Target;
use serde::Serialize;

use super::factors::{FolderMethod, Pair};
use super::fit::Fit;
use super::norms::{Vectors, norm, product_norm};
use crate::device;

/// Everything that `peft inspect` says.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) folder: PathBuf,
    /// Identifier of the method; null when no method here recognises the folder.
    pub(super) method: Option<&'static str>,
    pub(super) peft_type: String,
    pub(super) task_type: Option<String>,
    pub(super) base_model: Option<String>,
    /// Rank, alpha and dropout where no pattern says otherwise; null when no method here recognises the folder.
    pub(super) rank: Option<usize>,
    pub(super) alpha: Option<f64>,
    pub(super) dropout: Option<f64>,
    pub(super) target_modules: Option<String>,
    pub(super) modules_to_save: Vec<String>,
    /// Values in the file.
    pub(super) parameters: usize,
    /// Size of the tensor file in bytes.
    pub(super) file_bytes: u64,
    /// Number of tensors by type in the file.
    pub(super) dtypes: BTreeMap<&'static str, usize>,
    pub(super) sites: Vec<SiteReport>,
    /// Tensors that belong to no site: heads and other modules trained as a whole.
    pub(super) other_tensors: Vec<TensorReport>,
    /// Values that are NaN, and values that are infinite.
    pub(super) nan: usize,
    pub(super) infinite: usize,
    /// Configuration fields that nobody here knows.
    pub(super) unknown_fields: Vec<String>,
    /// What the folder asks for that cannot be done exactly, with the way out.
    pub(super) unsupported: Vec<String>,
    /// What is wrong with the tensors.
    pub(super) problems: Vec<String>,
    /// How the folder fits a base model.
    pub(super) fit: Option<Fit>,
}

/// One adapted layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SiteReport {
    pub(super) path: String,
    pub(super) d_in: Option<usize>,
    pub(super) d_out: Option<usize>,
    /// Rank of the tensors.
    pub(super) rank: usize,
    pub(super) alpha: f64,
    pub(super) parameters: usize,
    pub(super) pairs: Vec<PairReport>,
}

/// `scale * a b` at a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PairReport {
    pub(super) scale: f64,
    pub(super) norm_a: f64,
    pub(super) norm_b: f64,
    /// `||scale a b||_F`.
    pub(super) norm_update: f64,
    /// An update that does nothing: never trained, or trained away.
    pub(super) b_is_zero: bool,
}

/// A tensor that belongs to no site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TensorReport {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) norm: f64,
}

/// Tensors of one site by name.
type SiteTensors<'a> = BTreeMap<String, &'a HostTensor>;

impl Report {
    /// Describes a folder.
    ///
    /// # Errors
    /// When tensor names contradict each other or patterns are invalid.
    pub(super) fn new(dir: &Path, folder: &AdapterFolder) -> Result<Self> {
        let config = &folder.config;
        let method = FolderMethod::of(config, device::open("auto")?)?;
        let known = method
            .as_ref()
            .map(FolderMethod::tensor_names)
            .transpose()?
            .unwrap_or_default();
        let mut modules: BTreeMap<String, SiteTensors<'_>> = BTreeMap::new();
        let mut other_tensors = Vec::new();
        for (key, raw) in index_keys(folder.tensors.keys().map(String::as_str), &known)? {
            let tensor = &folder.tensors[&raw];
            if known.contains(&key.tensor.as_str()) {
                modules
                    .entry(key.module)
                    .or_default()
                    .insert(key.tensor, tensor);
            } else {
                other_tensors.push(other(&key, tensor));
            }
        }
        let mut problems = Vec::new();
        let mut sites = Vec::new();
        if let Some(method) = &method {
            for (path, tensors) in &modules {
                sites.push(site(method, path, tensors, &mut problems)?);
            }
        }
        let all = || folder.tensors.values().flat_map(|tensor| &tensor.data);
        let mut dtypes = BTreeMap::new();
        for tensor in folder.tensors.values() {
            *dtypes.entry(tensor.stored.name()).or_default() += 1;
        }
        Ok(Self {
            folder: dir.to_owned(),
            method: method.as_ref().map(|method| method.entry.id),
            peft_type: config.peft_type.clone(),
            task_type: config.task_type.clone(),
            base_model: config.base_model_name_or_path.clone(),
            rank: method.as_ref().map(|_| config.r),
            alpha: method.as_ref().map(|_| config.lora_alpha),
            dropout: method.as_ref().map(|_| config.lora_dropout),
            target_modules: config.target.as_ref().map(target),
            modules_to_save: config.modules_to_save.clone(),
            parameters: all().count(),
            file_bytes: std::fs::metadata(dir.join(TENSOR_FILE)).map_or(0, |file| file.len()),
            dtypes,
            sites,
            other_tensors,
            nan: all().filter(|value| value.is_nan()).count(),
            infinite: all().filter(|value| value.is_infinite()).count(),
            unknown_fields: config.unknown.clone(),
            unsupported: method
                .map_or_else(|| vec![unrecognised(folder)], |method| method.unsupported),
            problems,
            fit: None,
        })
    }
}

fn unrecognised(folder: &AdapterFolder) -> String {
    let config = &folder.config;
    let known: Vec<&str> = crate::registry::METHODS
        .iter()
        .map(|entry| entry.id)
        .collect();
    let flags: Vec<&str> = config
        .raw
        .iter()
        .filter(|(key, value)| key.starts_with("use_") && value.as_bool() == Some(true))
        .map(|(key, _)| key.as_str())
        .collect();
    format!(
        "no method here reads peft_type `{}` with [{}]; known methods: {}; merge the adapter in Python PEFT and use \
         the merged model",
        config.peft_type,
        flags.join(", "),
        known.join(", ")
    )
}

fn target(target: &Target) -> String {
    match target {
        Target::List(names) => names.join(", "),
        Target::Regex(pattern) => format!("/{pattern}/"),
        Target::AllLinear => peft_core::target::ALL_LINEAR.to_owned(),
    }
}

fn other(key: &TensorKey, tensor: &HostTensor) -> TensorReport {
    TensorReport {
        name: key.to_string(),
        shape: tensor.shape.clone(),
        norm: norm(&tensor.data),
    }
}

fn site(
    method: &FolderMethod<'_>,
    path: &str,
    tensors: &SiteTensors<'_>,
    problems: &mut Vec<String>,
) -> Result<SiteReport> {
    let (rank, alpha) = method.size_at(path)?;
    let mut report = SiteReport {
        path: path.to_owned(),
        d_in: None,
        d_out: None,
        rank,
        alpha,
        parameters: tensors.values().map(|tensor| tensor.data.len()).sum(),
        pairs: vec![],
    };
    for pair in method.pairs_at(path)? {
        if let Err(problem) = add_pair(&mut report, &pair, tensors) {
            problems.push(problem);
        }
    }
    Ok(report)
}

/// Adds one pair to the report of its site, or says what is wrong with it.
fn add_pair(report: &mut SiteReport, pair: &Pair, tensors: &SiteTensors<'_>) -> Result<(), String> {
    let path = &report.path;
    let tensor = |file: &str| {
        let found = tensors.get(file).copied();
        found.ok_or_else(|| format!("`{path}`: `{file}` is missing"))
    };
    let (a, b) = (tensor(pair.a.file)?, tensor(pair.b.file)?);
    let no_matrix = |file: &str, tensor: &HostTensor| {
        format!("`{path}`: `{file}` {:?} is no matrix", tensor.shape)
    };
    let columns = Vectors::columns(a, pair.a.layout).ok_or_else(|| no_matrix(pair.a.file, a))?;
    let rows = Vectors::rows(b, pair.b.layout).ok_or_else(|| no_matrix(pair.b.file, b))?;
    if columns.rank() != report.rank || rows.rank() != report.rank {
        return Err(format!(
            "`{path}`: the configuration says rank {}, `{}` has {}, `{}` has {}",
            report.rank,
            pair.a.file,
            columns.rank(),
            pair.b.file,
            rows.rank()
        ));
    }
    report.d_in = Some(columns.width());
    report.d_out = Some(rows.width());
    report.pairs.push(PairReport {
        scale: pair.scale,
        norm_a: norm(&a.data),
        norm_b: norm(&b.data),
        norm_update: product_norm(&columns, &rows, pair.scale),
        b_is_zero: b.data.iter().all(|value| *value == 0.0),
    });
    Ok(())
}
