//! Adapters that exist already, used again: shared subspaces (EigenLoRAx), combining, extracting, comparing, converting.
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin
//!
//! - [`Pool`] opens many adapter folders and reads them site by site;
//! - [`Stack`] gathers the columns of all factors at a site, [`Subspace`] finds the directions that they share;
//! - [`Basis`] is a folder with the directions once and the coordinates of every adapter, which adapters join, leave and come back from;
//! - [`leave_one_out`] says how well a basis describes an adapter that it has not seen, [`similarity()`] which adapters are alike;
//! - [`mod@eigenlorax`] is the method that trains the coordinates of a new adapter and nothing else;
//! - [`combine()`] makes one adapter of several, with weights, [`extract()`] one of two models;
//! - [`compare()`] puts two adapters beside each other, [`mlx`] converts adapters of mlx-lm.
//!
//! Subspaces and coordinates come from the factors: no product `B A` is formed for them.

mod basis;
mod combine;
mod compare;
mod decompose;
mod deviation;
pub mod eigenlorax;
mod error;
mod extract;
pub mod flat;
mod layers;
mod leave_one_out;
pub mod mlx;
mod options;
mod plain_lora;
mod pool;
mod random;
mod similarity;
mod stack;
mod subspace;

pub use basis::{
    Basis, BasisInfo, Coordinates, Extend, MemberInfo, Projection, SideInfo, SiteInfo,
};
pub use combine::{
    Arithmetic, CombineError, Combined, CombinedSite, Heads, Majority, Merge, Mode, Prune, combine,
};
pub use compare::{Alike, ComparedSite, Comparison, OtherWidth, compare};
pub use deviation::{Deviation, Errors};
pub use eigenlorax::{EigenLoraX, LoadingsInit};
pub use error::{MemberFault, MemberProblem, RecycleError, SubspaceError};
pub use extract::{ExtractError, ExtractOptions, Extracted, ExtractedSite, LeftOut, extract};
pub use leave_one_out::{HeldOut, LeaveOneOut, leave_one_out};
pub use options::{BasisOptions, Components, Mean, SubspaceOptions, Variant};
pub use peft_format::Factors;
pub use pool::{Bases, Folding, Member, Pool, PoolSite, SiteFactors};
pub use similarity::{Similarity, SimilarityTable, similarity};
pub use stack::Stack;
pub use subspace::{Subspace, principal_angles};
