//! Chains of low-rank updates: a LoRA is trained, merged into the frozen weights, and started anew, so that the whole update has a rank of
//! many times what any step trains.

mod chain;
mod link;

pub use chain::{CHAIN, Chain, ChainOptions};
