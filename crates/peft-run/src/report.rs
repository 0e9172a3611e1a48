//! The description of an adapter folder, from its files alone.

mod factors;
mod fit;
mod kinds;
mod notes;
mod pair;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use peft_core::file::{AdapterFolder, HostTensor, PeftConfig, TensorKey, index_keys};
use peft_core::target::Target;
use serde::Serialize;

use crate::Result;
use crate::run::expert_use::UseOfExperts;

pub(crate) use factors::FolderMethod;
pub use fit::{Fit, SiteChange};
pub use kinds::{Kind, kind};
use notes::notes;
pub use pair::PairReport;
use pair::{Described, described};

/// Everything that `peft inspect` says.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder.
    pub folder: PathBuf,
    /// Identifier of the method; null when no method here recognises the folder.
    pub method: Option<&'static str>,
    /// Value of `peft_type`.
    pub peft_type: String,
    /// Value of `task_type`.
    pub task_type: Option<String>,
    /// What the base model is called.
    pub base_model: Option<String>,
    /// Rank, alpha and dropout where no pattern says otherwise; null when no method here recognises the folder.
    pub rank: Option<usize>,
    /// Alpha where no pattern says otherwise.
    pub alpha: Option<f64>,
    /// Dropout of the adapter while it trains.
    pub dropout: Option<f64>,
    /// Targets as the configuration has them.
    pub target_modules: Option<String>,
    /// Modules that are saved whole.
    pub modules_to_save: Vec<String>,
    /// Values in the file.
    pub parameters: usize,
    /// Size of the tensor file in bytes.
    pub file_bytes: u64,
    /// Number of tensors by type in the file.
    pub dtypes: BTreeMap<&'static str, usize>,
    /// Adapted layers.
    pub sites: Vec<SiteReport>,
    /// Tensors that the adapter has once for all sites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub common_tensors: Vec<TensorReport>,
    /// Tensors that belong to no site: heads and other modules trained as a whole.
    pub other_tensors: Vec<TensorReport>,
    /// Values that are NaN, and values that are infinite.
    pub nan: usize,
    /// Infinite values in all tensors.
    pub infinite: usize,
    /// Configuration fields that nobody here knows.
    pub unknown_fields: Vec<String>,
    /// What the folder asks for that cannot be done exactly, with the way out.
    pub unsupported: Vec<String>,
    /// What is wrong with the tensors.
    pub problems: Vec<String>,
    /// What is unusual about files and keys, and harmless.
    pub notes: Vec<String>,
    /// How the experts of a mixture are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<UseOfExperts>,
    /// How the folder fits a base model.
    pub fit: Option<Fit>,
}

/// One adapted layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteReport {
    /// Path of the layer.
    pub path: String,
    /// Size of its input, as the tensors tell.
    pub d_in: Option<usize>,
    /// Size of its output, as the tensors tell.
    pub d_out: Option<usize>,
    /// Rank of the tensors.
    pub rank: usize,
    /// Alpha there.
    pub alpha: f64,
    /// Values of its tensors.
    pub parameters: usize,
    /// Its low-rank pairs.
    pub pairs: Vec<PairReport>,
}

impl SiteReport {
    /// Whether every update at the layer is zero.
    pub fn does_nothing(&self) -> bool {
        !self.pairs.is_empty()
            && self
                .pairs
                .iter()
                .all(|pair| pair.a_is_zero || pair.b_is_zero)
    }
}

/// A tensor that belongs to no site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorReport {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// Frobenius norm.
    pub norm: f64,
}

/// Tensors of one site by name.
pub(super) type SiteTensors<'a> = BTreeMap<String, &'a HostTensor>;

impl Report {
    /// Describes a folder.
    ///
    /// # Errors
    /// When tensor names contradict each other or patterns are invalid.
    pub fn new(dir: &Path, folder: &AdapterFolder) -> Result<Self> {
        let config = &folder.config;
        let method = FolderMethod::of(config)?;
        let known = method
            .as_ref()
            .map(FolderMethod::tensor_names)
            .unwrap_or_default();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let Sorted {
            modules,
            common_tensors,
            other_tensors,
        } = Sorted::of(folder, &known)?;
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
            dropout: method.as_ref().map(FolderMethod::dropout),
            target_modules: config.target.as_ref().map(target),
            modules_to_save: config.modules_to_save.clone(),
            parameters: all().count(),
            file_bytes: std::fs::metadata(&folder.tensor_file).map_or(0, |file| file.len()),
            dtypes,
            sites,
            common_tensors,
            other_tensors,
            nan: all().filter(|value| value.is_nan()).count(),
            infinite: all().filter(|value| value.is_infinite()).count(),
            unknown_fields: unknown_fields(config, method.as_ref()),
            unsupported: method
                .map_or_else(|| vec![unrecognised(folder)], |method| method.unsupported),
            problems,
            notes: notes(dir, folder, &known),
            experts: None,
            fit: None,
        })
    }
}

/// Fields that neither PEFT nor the method knows.
fn unknown_fields(config: &PeftConfig, method: Option<&FolderMethod>) -> Vec<String> {
    let own = |field: &&String| method.is_some_and(|method| method.has_field(field));
    let unknown = config.unknown.iter().filter(|field| !own(field));
    unknown.cloned().collect()
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
        "no method here reads peft_type `{}` with [{}], {}; known methods: {}; {}",
        config.peft_type,
        flags.join(", "),
        kind(&config.peft_type).what,
        known.join(", "),
        kind(&config.peft_type).way_out
    )
}

fn target(target: &Target) -> String {
    match target {
        Target::List(names) => names.join(", "),
        Target::Regex(pattern) => format!("/{pattern}/"),
        Target::AllLinear => peft_core::target::ALL_LINEAR.to_owned(),
    }
}

/// The tensors of a folder by what they belong to.
#[derive(Default)]
struct Sorted<'a> {
    modules: BTreeMap<String, SiteTensors<'a>>,
    common_tensors: Vec<TensorReport>,
    other_tensors: Vec<TensorReport>,
}

impl<'a> Sorted<'a> {
    fn of(folder: &'a AdapterFolder, known: &[&str]) -> Result<Self> {
        let mut sorted = Self::default();
        for (key, raw) in index_keys(folder.tensors.keys().map(String::as_str), known)? {
            let tensor = &folder.tensors[&raw];
            if !known.contains(&key.tensor.as_str()) {
                sorted.other_tensors.push(other(&key, tensor));
            } else if key.module.is_empty() {
                sorted.common_tensors.push(other(&key, tensor));
            } else {
                let module = sorted.modules.entry(key.module).or_default();
                module.insert(key.tensor, tensor);
            }
        }
        Ok(sorted)
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
    method: &FolderMethod,
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
    if !method.plausible_at(path, report.parameters)? {
        problems.push(format!(
            "`{path}`: the configuration says rank {rank}, for which its tensors are too small"
        ));
        return Ok(report);
    }
    for pair in method.pairs_at(path, |file| tensors.contains_key(file))? {
        match described(&pair, path, rank, tensors) {
            Ok(Described { sides, pairs }) => {
                (report.d_in, report.d_out) = (Some(sides.0), Some(sides.1));
                report.pairs.extend(pairs);
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok(report)
}

/// `||x||_F` of all values.
pub(super) fn norm(values: &[f32]) -> f64 {
    let squares = values.iter().map(|value| f64::from(*value).powi(2));
    squares.sum::<f64>().sqrt()
}
