//! A model of transformers as a GGUF file: what the metadata says, and what becomes of each tensor.
//!
//! [`ModelFile`] is made of the `config.json` and the tokenizer's files, or of the metadata of another file; its tensors are declared by
//! the names that they have in transformers, and written in any order of values that [`Layout`](crate::hf::Layout) undoes. What a
//! GGUF file cannot say of a model or a tokenizer is refused by name: the tokenizer that was written is read again and compared.

mod config;
mod error;
mod families;
mod fields;
mod files;
mod given;
mod kinds;
mod model_file;
mod tokenizer;

pub use error::ExportError;
pub use files::HfFiles;
pub use kinds::{Kinds, file_type};
pub use model_file::{ModelFile, Placed};
