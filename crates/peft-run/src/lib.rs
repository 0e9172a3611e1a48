//! What `peft` does, as calls with typed results: the registry of methods, the settings of a run, models and data that are opened by
//! them, training, and reports on adapters. Nothing here parses arguments or prints; what a user should know beside a result goes to
//! the `log` crate, warnings as such and everything else as information.
//!
//! ```no_run
//! use peft_run::run::{Outcome, RunOptions, train};
//! use peft_run::settings::{RunConfig, ready};
//!
//! # fn main() -> anyhow::Result<()> {
//! let config = ready(RunConfig::table(Some("run.toml".as_ref()), &[])?)?;
//! if let Outcome::Trained(result) = train(&config, RunOptions::default(), &mut ())? {
//!     println!("{} trained, written to {}", result.parameters, result.out.display());
//! }
//! # Ok(())
//! # }
//! ```

pub mod adapter_arg;
pub mod adapter_spec;
pub mod answerer;
pub mod any_model;
pub mod bench;
pub mod bundled;
pub mod causal_data;
pub mod combine;
pub mod companions;
pub mod convert;
pub mod data;
pub mod device;
pub mod diff;
pub mod end_tokens;
pub mod eval;
pub mod extract;
pub mod failure;
mod folder_problems;
pub mod generate;
pub mod hub;
pub mod image_data;
pub mod importance;
pub mod inspect;
pub mod memory;
pub mod merge;
pub mod open;
pub mod out_folder;
pub mod predict;
pub mod preview;
pub mod probe;
pub mod recycle;
pub mod registry;
pub mod report;
pub mod resize;
pub mod run;
pub mod settings;
pub mod targets;
pub mod validate;
pub mod watch;

pub use failure::Usage;
pub use watch::Watch;
