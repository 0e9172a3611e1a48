//! Which experts a trained mixture uses: a file beside the adapter.

use std::path::Path;

use burn::module::Module;
use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_core::file::{FileError, write_atomic};
use peft_moe::{ExpertUse, SiteUse};
use peft_train::device_of;
use peft_train::task::{Task, observe};
use serde::{Deserialize, Serialize};

use crate::error::Context;
use crate::settings::RunConfig;
use crate::{Error, Result};

/// What routers do on the training data, beside an adapter with experts.
pub const FILE: &str = "experts.json";
/// Examples to look at, at most, spread over the training data.
const EXAMPLES: usize = 512;
const FORMAT_VERSION: u32 = 1;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct UseOfExperts {
    /// Version of this form.
    pub format_version: u32,
    /// Training examples that were looked at.
    pub examples: usize,
    /// Every layer with experts, in the order of the forward pass.
    pub sites: Vec<SiteUse>,
}

/// Runs the trained model over some of its training examples, and writes what the routers did.
///
/// # Errors
/// When a batch does not fit the model, or the file cannot be written.
pub fn write<T: Task>(config: &RunConfig, task: &T, model: &T::Model) -> Result<()> {
    let all = task.lengths().len();
    let count = all.min(EXAMPLES);
    let examples: Vec<usize> = (0..count).map(|at| at * all / count).collect();
    let model = model.valid();
    let device = device_of(&model);
    let mut seen = ExpertUse::default();
    let batch_size = config.train.eval_batch_size;
    observe(task, &model, &examples, batch_size, &device, &mut seen)?;
    let content = UseOfExperts {
        format_version: FORMAT_VERSION,
        examples: count,
        sites: seen.sites(),
    };
    let text = serde_json::to_string_pretty(&content)?;
    Ok(write_atomic(&config.out.join(FILE), text.as_bytes())?)
}

/// Reads the file of a run or adapter folder; `None` where there is none.
///
/// # Errors
/// When it is broken or of another version.
pub fn read(dir: &Path) -> Result<Option<UseOfExperts>> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = read_plain_text(&path, CONFIG_LIMIT).map_err(FileError::io("read", &path))?;
    let content: UseOfExperts =
        serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    if content.format_version != FORMAT_VERSION {
        return Err(Error::FormatVersion {
            path,
            expected: FORMAT_VERSION,
            found: content.format_version,
            way_out: "update it",
        });
    }
    let experts = content.sites.first().map_or(0, |site| site.chosen.len());
    let mut sites = content.sites.iter();
    let fits = |site: &&SiteUse| site.chosen.len() == experts && site.probability.len() == experts;
    match sites.find(|site| !fits(site)) {
        None => Ok(Some(content)),
        Some(other) => Err(Error::OtherExperts {
            path,
            site: other.path.clone(),
        }),
    }
}
