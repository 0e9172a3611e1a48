//! A LoRA as an adapter file of llama.cpp and Ollama.
//!
//! Such a file holds, for a weight `blk.0.attn_q.weight`, the factors `blk.0.attn_q.weight.lora_a` (`A [rank, d_in]`) and `.lora_b`
//! (`B [d_out, rank]`), in the names and the order of rows of the base's own file, and one alpha for all. llama.cpp adds
//! `alpha / rank * B A`, with the rank of each pair; where an adapter scales otherwise (rsLoRA, patterns of ranks and alphas), `B` holds the
//! difference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use peft_format::lora_folder::{LoraFault, LoraFolder, LoraSite};
use serde_json::{Map, Value};

use crate::hf::{Architecture, Layout, names};
use crate::{FormatError, GgmlType, GgufError, GgufWriter};

/// What of a base decides how its adapters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterBase {
    /// Its family.
    pub architecture: Architecture,
    /// Heads of queries.
    pub heads: u64,
    /// Heads of keys and values.
    pub kv_heads: u64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenAdapter {
    /// Paths of the adapted layers, as transformers call them.
    pub sites: Vec<String>,
    /// The alpha of the file.
    pub alpha: f64,
    /// Layers whose `B` was multiplied, and by what, to have their scale beside that alpha.
    pub scaled: BTreeMap<String, f64>,
}

/// An adapter that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The folder is no LoRA, or damaged.
    #[error("{}: {source}", path.display())]
    Lora {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        source: LoraFault,
    },
    /// llama.cpp has no place for something that the adapter holds.
    #[error("{}: llama.cpp has no place for this in an adapter; merge the adapter into its base instead:\n  {}", path.display(), problems.join("\n  "))]
    NoPlace {
        /// The folder.
        path: PathBuf,
        /// Each of them.
        problems: Vec<String>,
    },
    /// The base is of a family that is not known here.
    #[error("`model_type` {model_type}: expected one of {known}")]
    Base {
        /// What the configuration says.
        model_type: String,
        /// The families.
        known: String,
    },
    /// A name or a shape that files cannot have.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] GgufError),
}

impl AdapterBase {
    /// What `config.json` of transformers says.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Base`] for a family that is not known.
    pub fn of_config(config: &Map<String, Value>) -> Result<Self, AdapterError> {
        let number = |keys: &[&str]| keys.iter().find_map(|key| config.get(*key)?.as_u64());
        let family = config.get("model_type").and_then(Value::as_str);
        let known = family.and_then(Architecture::of_model_type);
        let (Some(architecture), Some(heads)) = (known, number(&["num_attention_heads", "n_head"]))
        else {
            return Err(AdapterError::Base {
                model_type: family.unwrap_or("absent").to_owned(),
                known: Architecture::MODEL_TYPES.map(|(name, _)| name).join(", "),
            });
        };
        Ok(Self {
            architecture,
            heads,
            kv_heads: number(&["num_key_value_heads"]).unwrap_or(heads),
        })
    }
}

/// Writes the LoRA or rsLoRA of a PEFT folder as an adapter file, in F32.
///
/// # Errors
///
/// [`AdapterError::Lora`] for a folder that cannot be read, [`AdapterError::NoPlace`] with every tensor that llama.cpp's adapters cannot
/// hold (DoRA's magnitudes, saved modules, layers of no known name), and why the file cannot be written.
pub fn write_adapter(
    folder: &Path,
    base: AdapterBase,
    out: &Path,
) -> Result<WrittenAdapter, AdapterError> {
    let fault = |source| AdapterError::Lora {
        path: folder.to_owned(),
        source,
    };
    let lora = LoraFolder::open(folder).map_err(fault)?;
    let named = named(folder, &lora, base.architecture)?;
    let alpha = match lora.config().lora_alpha {
        alpha if alpha != 0.0 => alpha,
        _ => 1.0,
    };
    let mut writer = described(&lora, base.architecture, alpha)?;
    for (name, (_, site)) in &named {
        let (rank, d_in, d_out) = (site.rank as u64, site.d_in as u64, site.d_out as u64);
        writer.declare(&format!("{name}.lora_a"), &[rank, d_in], GgmlType::F32)?;
        writer.declare(&format!("{name}.lora_b"), &[d_out, rank], GgmlType::F32)?;
    }
    let scaled = named.values().map(|(path, site)| {
        let factor = site.scale * site.rank as f64 / alpha;
        ((*path).to_owned(), factor)
    });
    let scaled: BTreeMap<String, f64> = scaled.filter(|(_, factor)| *factor != 1.0).collect();
    writer.write(out, |info, tensor| -> Result<(), AdapterError> {
        let (name, end) = info.name.rsplit_once('.').unwrap_or_default();
        let Some((path, _)) = named.get(name) else {
            return Ok(());
        };
        let [a, b] = lora.tensors(path).map_err(fault)?.unwrap_or_default();
        if end == "lora_a" {
            return Ok(tensor.write_values(&a.data)?);
        }
        let layout = match Layout::of(base.architecture, name, base.heads, base.kv_heads) {
            rows @ Layout::Rotary { .. } => rows,
            // A and B are those of a linear layer, however the weight itself lies.
            _ => Layout::Same,
        };
        let moved = layout.to_gguf(times(b.data, scaled.get(*path)), &info.shape);
        let moved = moved.map_err(|error| AdapterError::NoPlace {
            path: folder.to_owned(),
            problems: vec![format!("`{path}`: {error}")],
        })?;
        Ok(tensor.write_values(&moved)?)
    })?;
    Ok(WrittenAdapter {
        sites: lora.sites().keys().cloned().collect(),
        alpha,
        scaled,
    })
}

/// What llama.cpp wants to know of the file.
fn described(
    lora: &LoraFolder,
    architecture: Architecture,
    alpha: f64,
) -> Result<GgufWriter, FormatError> {
    let mut writer = GgufWriter::new();
    writer.insert("general.architecture", architecture.name())?;
    writer.insert("general.type", "adapter")?;
    writer.insert("adapter.type", "lora")?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "files hold single precision"
    )]
    writer.insert("adapter.lora.alpha", alpha as f32)?;
    if let Some(base) = &lora.config().base_model_name_or_path {
        writer.insert("general.base_model.count", 1_u32)?;
        writer.insert("general.base_model.0.name", base.as_str())?;
    }
    Ok(writer)
}

/// Path and site of each layer by the name of its weight in files.
fn named<'a>(
    folder: &Path,
    lora: &'a LoraFolder,
    architecture: Architecture,
) -> Result<BTreeMap<String, (&'a str, &'a LoraSite)>, AdapterError> {
    let mut named = BTreeMap::new();
    let mut problems: Vec<String> = (lora.carried_keys())
        .map(|key| format!("`{key}` is no factor of a LoRA"))
        .collect();
    if lora.config().use_dora && problems.is_empty() {
        problems.push("DoRA scales by the norms of the base".into());
    }
    for (path, site) in lora.sites() {
        match names::to_gguf(architecture, &format!("{path}.weight")) {
            Some(name) => drop(named.insert(name, (path.as_str(), site))),
            None => problems.push(format!("`{path}` has no name in files of this family")),
        }
    }
    if problems.is_empty() {
        return Ok(named);
    }
    Err(AdapterError::NoPlace {
        path: folder.to_owned(),
        problems,
    })
}

fn times(mut values: Vec<f32>, factor: Option<&f64>) -> Vec<f32> {
    if let Some(factor) = factor {
        for value in &mut values {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "files hold single precision"
            )]
            let scaled = (f64::from(*value) * factor) as f32;
            *value = scaled;
        }
    }
    values
}
