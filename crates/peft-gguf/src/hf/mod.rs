//! A GGUF model as Hugging Face's transformers have it: the fields of `config.json`, names, shapes and the order of values.
//!
//! llama.cpp converts a model folder in a fixed way, which is undone here: [`config`] makes `config.json` of the metadata, [`names`] are
//! the names of tensors both ways, [`Layout`] says what became of the values of each, and [`HfTensors`] has all tensors of a model under
//! the names and in the shapes that a model folder would have.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use peft_gguf::hf::HfTensors;
//!
//! let model = HfTensors::open(Path::new("SmolLM2-135M-Instruct-Q4_K_M.gguf"))?;
//! assert_eq!(model.config()?["model_type"], "llama");
//! for tensor in model.iter() {
//!     let values = model.values(tensor.name())?; // rows as transformers have them, whatever the block format
//!     println!("{} {:?} {}: {}", tensor.name(), tensor.shape(), tensor.kind(), values.len());
//! }
//! # Ok::<(), peft_gguf::hf::HfError>(())
//! ```

mod architecture;
mod config;
mod error;
mod families;
mod keys;
mod layout;
pub mod names;
mod recognised;
mod rope;
mod sizes;
mod tensors;

pub use architecture::Architecture;
pub use config::config;
pub use error::HfError;
pub(crate) use families::{LARGEST_GEMMA2, LARGEST_GEMMA3};
pub use layout::{Layout, LayoutError};
pub(crate) use rope::divisors as rope_divisors;
pub use tensors::{HfTensor, HfTensors};
