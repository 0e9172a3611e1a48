//! The verbs, one file each.

pub mod bench;
pub mod chat;
pub mod combine;
pub mod convert;
pub mod data;
pub mod devices;
pub mod diff;
pub mod env;
pub mod eval;
pub mod extract;

pub mod generate;
pub mod init;
pub mod inspect;
pub mod merge;
pub mod methods;
pub mod plot;
pub mod predict;
pub mod prune;
pub mod quickstart;
pub mod recycle;
pub mod resize;
pub mod targets;
pub mod train;
pub mod validate;

use anyhow::Result;
use serde::Serialize;

/// Prints one JSON value on stdout.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
