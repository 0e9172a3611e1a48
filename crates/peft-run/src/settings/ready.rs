//! Settings as somebody gave them, made ready for a run.

use super::RunConfig;
use crate::Result;
use crate::hub;
use crate::run::start;

/// The settings of a run: what is set, beside it what an adapter to start from says, and the repositories of the hub that are named
/// fetched into folders.
///
/// # Errors
/// As [`RunConfig::of_table`]; an adapter to start from that cannot be read; a repository that cannot be had.
pub fn ready(mut table: toml::Table) -> Result<RunConfig> {
    start::fill(&mut table)?;
    let mut config = RunConfig::of_table(table)?;
    let folder = hub::folder(&config.model)?;
    config.fetched = (folder != config.model).then_some(folder);
    let adapter = &mut config.adapter;
    hub::resolve(adapter.start.iter_mut().chain(&mut adapter.experts_from))?;
    hub::resolve(&mut config.data.tokenizer)?;
    Ok(config)
}
