//! LoRA-drop: layers whose LoRA moves the model most keep their own, all others share one.
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin
//!
//! - [`SiteScore`] is what a layer is worth, from an [`OutputImportance`] observer, from [`parameter_norms`], from gradients or at random;
//! - [`Scope`] says what is compared with what, [`Budget`] how much is kept, [`Plan::make`] which layers that are;
//! - [`lora_drop`] is the method that a plan leads to;
//! - [`procedure`] is how a plan is found: a short training, measured;
//! - [`stratified`] draws the sample that scores are measured on.

pub mod lora_drop;
mod measure;
mod measured;
mod plan;
mod planned_site;
pub mod procedure;
mod ranking;
mod sample;
mod score;
mod select;

pub use measure::{OutputImportance, OutputNorm};
pub use measured::{Measured, Sample, on_sample, without_data};
pub use plan::{Plan, PlanError};
pub use planned_site::PlannedSite;
pub use sample::stratified;
pub use score::{ScoreKind, SiteScore, parameter_norms, random_scores, scored};
pub use select::{Budget, Scope};
