//! Soon.
/// Soon.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {}
pub fn run(_args: &InspectArgs, _json: bool) -> anyhow::Result<()> { Ok(()) }
