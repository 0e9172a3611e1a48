//! Adapter folders and configurations, targets, ranks and low-rank algebra on the host, for whoever only handles files.

mod causes;
pub mod file;
pub mod low_rank;
mod names;
mod problems;
mod site;
pub mod target;

pub use causes::causes;
pub use names::{Layout, Naming, name_number};
pub use problems::grouped;
pub use site::{Site, SiteKind};
