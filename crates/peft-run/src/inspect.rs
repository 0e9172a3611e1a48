//! What an adapter folder holds, with and without its base model.

use std::path::Path;

use peft_core::file::read_folder;

use crate::error::Context;
use crate::report::{Fit, Report};
use crate::run::expert_use;
use crate::validate::Verdict;
use crate::{Error, Result};

/// Describes an adapter folder; with a model also what is missing, unexpected or misshaped there. The texts are what is wrong with it.
///
/// # Errors
/// A folder or a model that cannot be read.
pub fn inspect(adapter: &Path, model: Option<&Path>) -> Result<(Report, Vec<String>)> {
    let read = read_folder(adapter);
    let Verdict {
        problems, facts, ..
    } = Verdict::of_read(adapter, &read, None);
    let folder = match read {
        Ok(folder) => folder,
        Err(_) => return Err(Error::Unreadable { problems }),
    };
    let mut report = facts
        .map_or_else(|| Report::new(adapter, &folder), Ok)
        .with_context(|| format!("adapter {}", adapter.display()))?;
    if let Some(model) = model {
        report.fit = Some(Fit::check(model, adapter, &folder, &report)?);
    }
    report.experts = expert_use::read(adapter)?;
    Ok((report, problems))
}
