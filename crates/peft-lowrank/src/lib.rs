//! Relatives of LoRA whose factors are frozen, shared, linked or several.
#![doc = include_str!("../README.md")]

pub mod multilora;
mod options;
pub mod reslora;
pub mod sbora;
pub mod sharelora;
pub mod vera;
