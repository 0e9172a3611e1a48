//! An adapter folder of any method as one that Hugging Face PEFT reads; files of llama.cpp; and folders of mlx-lm, both ways.

pub mod gguf;
pub mod mlx;

use std::path::{Path, PathBuf};

use peft_core::export::{Exported, ExportedSite, to_lora};
use peft_core::file::input::{CONFIG_LIMIT, read_plain};
use peft_core::file::{FileError, write_atomic};
use peft_core::folder;
use serde::Serialize;

use crate::Result;
use crate::adapter_arg::AdapterArg;
use crate::companions::carry_all;
use crate::open::Added;
use crate::run::LABELS_FILE;
use crate::{any_model, device, open, out_folder};

/// Value of `peft_type` of the methods that PEFT reads as they are: LoRA, rsLoRA, DoRA, and PiSSA and OLoRA in their stored form.
const LORA: &str = "LORA";

/// Whose names of layers a folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Those of the model's file.
    File,
    /// Those that `transformers` 5 gives to layers in memory.
    Transformers5,
}

/// What to convert to a folder of PEFT, and how.
#[derive(Debug, Clone, Copy)]
pub struct Converting<'a> {
    /// Folder of the base model.
    pub model: &'a Path,
    /// Adapter folder.
    pub adapter: &'a Path,
    /// Adapter folder to write.
    pub out: &'a Path,
    /// Whose names it has.
    pub names: Names,
    /// Cut every update to this rank; needed where a method has no exact low-rank form.
    pub rank: Option<usize>,
    /// Whether `out` may hold something.
    pub overwrite: bool,
    /// Where to compute.
    pub device: &'a str,
}

/// What a conversion did.
#[derive(Debug, Serialize)]
pub struct ConvertResult {
    /// Folder that was written.
    pub out: PathBuf,
    /// Method of the folder that was read.
    pub from: &'static str,
    /// Method of the folder that was written.
    pub to: &'static str,
    /// Each layer that became a plain LoRA; empty where the method stayed.
    pub sites: Vec<ExportedSite>,
    /// Largest `||W' - W - A B||_F / ||W' - W||_F` of a layer.
    pub largest_error: f64,
}

/// Writes an adapter folder as a folder of PEFT.
///
/// # Errors
/// A model or adapter that cannot be read, a method without an exact low-rank form and no rank, a folder that is in use.
pub fn to_peft(asked: &Converting<'_>) -> Result<ConvertResult> {
    let _claim = out_folder::claim(asked.out, asked.overwrite, out_folder::OVERWRITE)?;
    let device = &device::open(asked.device)?;
    let (adapter, model, out) = (AdapterArg::only(asked.adapter), asked.model, asked.out);
    let rank = asked.rank;
    let head = open::labels_in_adapter(model, &adapter.dir)?;
    let loaded = any_model::open(model, head, 0, device)?.loaded;
    let (loaded, Added { spec, .. }) = open::add(loaded, &adapter)?;
    let names = loaded.names;
    let from = spec.method.entry().id;
    let known = spec
        .method
        .config_fields()
        .get("peft_type")
        .is_some_and(|kind| kind == LORA);
    let mut exported = if known && rank.is_none() {
        Exported {
            model: loaded.model,
            spec,
            sites: Vec::new(),
        }
    } else {
        to_lora(loaded.model, &adapter.name, &spec, rank)?
    };
    exported.spec.naming.other = asked.names == Names::Transformers5;
    folder::save(&exported.model, &names, &adapter.name, &exported.spec, out)?;
    carry_all(&adapter.dir, out)?;
    let labels = adapter.dir.join(LABELS_FILE);
    if labels.exists() {
        let text = read_plain(&labels, CONFIG_LIMIT).map_err(FileError::io("read", &labels))?;
        write_atomic(&out.join(LABELS_FILE), &text)?;
    }
    let errors = exported.sites.iter().map(|site| site.error);
    Ok(ConvertResult {
        out: out.to_path_buf(),
        from,
        to: exported.spec.method.entry().id,
        largest_error: errors.fold(0.0, f64::max),
        sites: exported.sites,
    })
}
