//! What `peft` does, as calls with typed results.
#![doc = include_str!("../README.md")]

pub mod adapter_arg;
pub mod adapter_spec;
pub mod answerer;
pub mod any_model;
pub mod bench;
pub mod bundled;
pub mod causal_data;
pub mod chat;
pub mod combine;
pub mod companions;
pub mod convert;
pub mod data;
pub mod device;
pub mod diff;
pub mod end_tokens;
mod error;
pub mod eval;
pub mod extract;
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
pub mod precision;
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

pub use error::{Error, LabelError, MergeError, Result, is_interruption, is_usage};
pub use watch::Watch;
