//! Mixtures of LoRA experts and the Riemannian preconditioner of low-rank pairs.
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin
//!
//! - [`MoeLora`] is the method: several LoRA experts beside each weight, of which a router gives every token a few;
//! - [`GateRescale`] is how much of the gradient reaches an expert that a token hardly uses;
//! - [`Riemannian`] conditions the gradients of low-rank pairs, of experts as of any LoRA; [`RIEMANNIAN`] is its entry in a registry of procedures;
//! - [`start_experts`] makes experts of adapters that exist already;
//! - [`ExpertUse`] observes which experts are used.

mod balance;
mod expert_use;
mod gate;
pub mod mixture;
mod riemannian;
mod router;
mod start;

pub use expert_use::{ExpertUse, SiteUse};
pub use gate::GateRescale;
pub use mixture::{MixtureAdapter, MoeLora};
pub use riemannian::{Order, RIEMANNIAN, Riemannian};
pub use start::start_experts;
