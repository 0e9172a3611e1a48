//! Chains of low-rank updates: a LoRA is trained, merged into the frozen weights, and started anew.
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin
//!
//! - [`Chain`] is the procedure, [`ChainOptions`] says when it merges;
//! - [`CHAIN`] is its entry in a registry of procedures.

mod chain;
mod link;

pub use chain::{CHAIN, Chain, ChainOptions};
