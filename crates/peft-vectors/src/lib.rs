//! Adapters that are vectors beside a layer.
#![doc = include_str!("../README.md")]

pub mod adapterbias;
pub mod ia3;
