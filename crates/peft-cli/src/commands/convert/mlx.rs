//! Adapter folders of mlx-lm, which need no model to be converted.

use std::path::{Path, PathBuf};

use anyhow::Result;
use peft_core::file::foreign;
use peft_recycle::mlx::{self, MlxNote, MlxReport};
use serde::Serialize;

use peft_run::companions::carry_all;

/// What a conversion did.
#[derive(Debug, Serialize)]
pub(super) struct MlxResult {
    out: PathBuf,
    dora: bool,
    rank: usize,
    scale: f64,
    modules: usize,
    /// What the other format says in another way.
    notes: Vec<String>,
}

/// Whether a folder is one of mlx-lm, of whatever age.
pub(super) fn is_mlx(folder: &Path) -> bool {
    foreign(folder).is_some()
}

/// Writes a folder of mlx-lm as one of PEFT.
pub(super) fn to_peft(folder: &Path, out: &Path) -> Result<MlxResult> {
    let report = mlx::to_peft(folder, out)?;
    carry_all(folder, out)?;
    Ok(MlxResult::of(&report, out))
}

/// Writes a folder of PEFT as one of mlx-lm.
pub(super) fn from_peft(folder: &Path, out: &Path) -> Result<MlxResult> {
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

    pub(super) fn show(&self, json: bool) -> Result<()> {
        if json {
            return crate::commands::print_json(self);
        }
        let kind = if self.dora { "DoRA" } else { "LoRA" };
        println!(
            "{kind} of rank {} and scale {} at {} modules, written to {}",
            self.rank,
            self.scale,
            self.modules,
            self.out.display()
        );
        for note in &self.notes {
            println!("note: {note}");
        }
        Ok(())
    }
}
