//! Several adapters of one base model, each with a weight, as one LoRA.

mod beside;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use peft_recycle::{Bases, Combined, Heads, Mode, Pool, combine};
use serde::Serialize;

use crate::Result;
use crate::adapter_arg::WeightedFolder;
use crate::out_folder::Aside;
use crate::recycle::warn_of_bases;

/// What to combine, and how.
#[derive(Debug)]
pub struct Combining<'a> {
    /// Adapter folders with their weights.
    pub adapters: &'a [WeightedFolder],
    /// How they become one.
    pub mode: Mode,
    /// Whose heads the result has.
    pub heads: Heads,
    /// Whether adapters whose configurations name different bases are known to be of one.
    pub any_base: bool,
    /// What the result calls its base.
    pub base: Option<&'a str>,
    /// Adapter folder to write.
    pub out: &'a Path,
}

/// What was combined.
#[derive(Debug, Serialize)]
pub struct CombineResult {
    /// Folder that was written.
    pub out: PathBuf,
    /// `||sum - result||_F / ||sum||_F` over all layers.
    pub error: f64,
    /// The layers, by path.
    pub sites: IndexMap<String, SiteResult>,
    /// Tensors that are averaged or taken over rather than added.
    pub carried: Vec<String>,
}

/// One layer of the result.
#[derive(Debug, Serialize)]
pub struct SiteResult {
    /// Rank of its pair.
    pub rank: usize,
    /// Adapters that have the layer.
    pub members: Vec<String>,
    /// `||sum - result||_F / ||sum||_F` of the layer.
    pub error: f64,
}

impl CombineResult {
    /// Combines adapters and writes the result.
    ///
    /// # Errors
    /// What is wrong with an adapter, or with combining them in this way.
    pub fn of(combining: &Combining<'_>) -> Result<Self> {
        let adapters = combining.adapters.iter();
        let folders: Vec<&Path> = adapters.clone().map(|each| each.dir.as_path()).collect();
        let weights: Vec<f64> = adapters.map(|each| each.weight).collect();
        let (heads, out) = (&combining.heads, combining.out);
        let mut pool = Pool::open_by(&folders, Bases::ByLayers)?;
        warn_of_bases(&pool, combining.any_base || combining.base.is_some());
        if let Some(base) = combining.base {
            pool = pool.with_base(base);
        }
        let labels = beside::labels(&pool, heads)?;
        let aside = Aside::new(out)?;
        let combined = combine(&pool, &weights, combining.mode, heads, aside.path())?;
        beside::carry(&pool, heads, labels.as_deref(), aside.path())?;
        aside.put_in_place()?;
        Ok(Self::new(&combined, out))
    }

    fn new(combined: &Combined, out: &Path) -> Self {
        let sites = combined.sites.iter().map(|(path, site)| {
            let result = SiteResult {
                rank: site.rank,
                members: site.members.clone(),
                error: site.error.relative(),
            };
            (path.clone(), result)
        });
        Self {
            out: out.to_owned(),
            error: combined.error.relative(),
            sites: sites.collect(),
            carried: combined.carried.clone(),
        }
    }
}
