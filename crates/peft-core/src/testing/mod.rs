//! What the tests of every method crate share: the contract, tiny models, golden files and cases, tolerances, and what lies outside the project.

pub mod case;
pub mod contract;
pub mod golden;
pub mod outside;
pub mod tiny;
pub mod tolerance;
