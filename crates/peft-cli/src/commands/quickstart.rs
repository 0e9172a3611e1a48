//! Soon.
/// Soon.
#[derive(Debug, clap::Args)]
pub struct QuickstartArgs {}
pub fn run(_args: &QuickstartArgs, _json: bool) -> anyhow::Result<()> { Ok(()) }
