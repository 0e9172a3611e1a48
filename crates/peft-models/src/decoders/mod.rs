//! The decoder families, a file each.

pub(crate) mod gemma;
pub(crate) mod gemma2;
pub(crate) mod gemma3;
pub(crate) mod gpt2;
pub(crate) mod granite;
pub(crate) mod llama;
pub(crate) mod olmo2;
pub(crate) mod phi3;
pub(crate) mod smollm3;
mod usual;
mod windows;
