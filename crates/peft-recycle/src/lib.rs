//! EigenLoRAx (Kaushik et al. 2025, <https://arxiv.org/abs/2502.04700>): adapters of one base model share a subspace in every layer; find
//! it, and keep each adapter by its coordinates in it.
//!
//! - [`Pool`] opens many adapter folders and reads them site by site;
//! - [`Stack`] gathers the columns of all factors at a site, [`Subspace`] finds the directions that they share;
//! - [`Basis`] is a folder with the directions once and the coordinates of every adapter, which adapters join, leave and come back from;
//! - [`leave_one_out`] says how well a basis describes an adapter that it has not seen, [`similarity()`] which adapters are alike;
//! - [`mod@eigenlorax`] is the method that trains the coordinates of a new adapter and nothing else;
//! - [`combine()`] makes one adapter of several, with weights, [`extract()`] one of two models;
//! - [`compare()`] puts two adapters beside each other, [`mlx`] converts adapters of mlx-lm.
//!
//! Everything but that is computed on the host, in `f64`, from the factors: no product `B A` is ever formed.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//!
//! use peft_recycle::{Basis, BasisOptions, Extend, Pool};
//!
//! let (pool, problems) = Pool::open_skipping(&["adapters/cola", "adapters/qnli", "adapters/rte"])?;
//! for problem in &problems {
//!     println!("left out: {problem}");
//! }
//! let mut basis = Basis::build(&pool, &BasisOptions::default(), Path::new("basis"))?;
//! println!("{:.1} times smaller", basis.info()?.compression());
//! let held_out = basis.project(Path::new("adapters/mrpc"))?;
//! println!("relative error of the update: {:.3}", held_out.errors.product.relative());
//! basis.add(Path::new("adapters/mrpc"), Extend::Residual(0.1))?;
//! basis.reconstruct("mrpc", Path::new("mrpc-again"))?;
//! # Ok(())
//! # }
//! ```

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
