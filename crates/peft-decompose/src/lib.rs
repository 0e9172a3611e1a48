//! Adapting a frozen weight through its decomposition into magnitudes and directions, or into singular values and vectors.
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin
//!
//! One method is one module, and none knows another: [`dora`], [`bora`], [`svfit`], [`pissa`], [`milora`], [`olora`], [`eva`]. What they share:
//! - `factors`: the low-rank pair inside an adapter;
//! - `norms`: norms of `W + scale A B` from its parts;
//! - [`relative`]: low-rank pairs that start from the weight and count from there;
//! - `components`: principal components of inputs that come in batches;
//! - `svd`: singular values and vectors of a frozen weight.

pub mod base_vectors;
pub mod bora;
mod components;
pub mod dora;
pub mod eva;
mod factors;
pub mod milora;
mod norms;
pub mod olora;
pub mod pissa;
pub mod relative;
mod svd;
pub mod svfit;

pub use factors::Factors;
pub use norms::Side;
