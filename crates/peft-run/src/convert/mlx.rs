//! Adapter folders of mlx-lm, which need no model to be converted.

use std::path::{Path, PathBuf};

use peft_core::file::foreign;
use peft_recycle::mlx::{self, MlxNote, MlxReport};
use serde::Serialize;

use crate::Result;
use crate::companions::carry_all;

/// What a conversion did.
#[derive(Debug, Serialize)]
pub struct MlxResult {
    /// Folder that was written.
    pub out: PathBuf,
    /// Whether it is DoRA rather than LoRA.
    pub dora: bool,
    /// Rank of every layer.
    pub rank: usize,
    /// Factor of the products.
    pub scale: f64,
    /// How many layers are adapted.
    pub modules: usize,
    /// What the other format says in another way.
    pub notes: Vec<String>,
}

/// Whether a folder is one of mlx-lm, of whatever age.
pub fn is_mlx(folder: &Path) -> bool {
    foreign(folder).is_some()
}

/// Writes a folder of mlx-lm as one of PEFT.
///
/// # Errors
/// A folder that cannot be read, or a disk that refuses.
pub fn to_peft(folder: &Path, out: &Path) -> Result<MlxResult> {
    let report = mlx::to_peft(folder, out)?;
    carry_all(folder, out)?;
    Ok(MlxResult::of(&report, out))
}

/// Writes a folder of PEFT as one of mlx-lm.
///
/// # Errors
/// A folder that cannot be read, an adapter that mlx-lm has no form for, or a disk that refuses.
pub fn from_peft(folder: &Path, out: &Path) -> Result<MlxResult> {
    let report = mlx::from_peft(folder, out)?;
    carry_all(folder, out)?;
    Ok(MlxResult::of(&report, out))
}

impl MlxResult {
    fn of(report: &MlxReport, out: &Path) -> Self {
        let note = |note: &MlxNote| match note {
            MlxNote::Padded { site, from, to } => {
                format!("{site}: rank {from} was filled with zeros to {to}")
            }
            MlxNote::Scaled { site, from, to } => {
                format!("{site}: B holds the scale {from} beside {to} of the others")
            }
            MlxNote::Alpha { alpha, scale, old } => format!(
                "scale {scale} was taken, as mlx-lm does today; its versions of 2024 multiplied it by alpha / rank (alpha {alpha}): if one \
                 of those trained the adapter, the scale is {old}: multiply lora_alpha in adapter_config.json by {}",
                old / scale
            ),
            other => format!("{other:?}"),
        };
        Self {
            out: out.to_owned(),
            dora: report.dora,
            rank: report.rank,
            scale: report.scale,
            modules: report.sites.len(),
            notes: report.notes.iter().map(note).collect(),
        }
    }
}
