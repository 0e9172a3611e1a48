//! Adapter folders and configurations, targets, ranks and low-rank algebra on the host, for whoever only handles files.
#![doc = include_str!("../README.md")]

mod causes;
pub mod decompose;
mod factors;
pub mod file;
pub mod linalg;
pub mod lora_folder;
pub mod low_rank;
mod names;
mod near;
mod problems;
mod ranks;
mod site;
pub mod target;

pub use causes::causes;
pub use factors::Factors;
pub use names::{Layout, Naming, name_number};
pub use near::near;
pub use problems::grouped;
pub use ranks::{LARGEST_ALPHA, LARGEST_RANK, Ranks, Scaling};
pub use site::{Site, SiteKind};
