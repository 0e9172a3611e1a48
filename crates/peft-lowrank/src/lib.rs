//! Relatives of LoRA whose factors are frozen, shared, linked or several, or are multiplied in other ways.
#![doc = include_str!("../README.md")]

pub mod hira;
pub mod loha;
pub mod lokr;
mod lycoris;
pub mod miss;
pub mod multilora;
mod options;
pub mod randlora;
pub mod reslora;
pub mod sbora;
pub mod sharelora;
mod torch;
pub mod vera;
