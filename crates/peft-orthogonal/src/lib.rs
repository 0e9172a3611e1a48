//! Rotations and reflections of a frozen weight.
#![doc = include_str!("../README.md")]

mod blocks;
pub mod boft;
pub mod hra;
mod inverse;
pub mod oft;
