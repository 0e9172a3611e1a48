//! What the tests of every method crate share: the contract, tiny models, golden files and cases and tolerances.

pub mod case;
pub mod contract;
pub mod golden;
pub mod tiny;
pub mod tolerance;
