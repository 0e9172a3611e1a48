//! GGUF files of llama.cpp and Ollama, read and written, with their block formats.
#![doc = include_str!("../README.md")]

pub mod adapter;
pub mod block;
mod error;
pub mod export;
mod file;
mod foreign;
mod format_error;
mod ggml_type;
mod header;
pub mod hf;
mod metadata;
mod model;
mod near;
mod packed;
mod positioned;
mod strings;
mod tensor_info;
pub mod tokenizer;
mod value;
mod writer;

pub use error::GgufError;
pub use file::GgufFile;
pub use foreign::Foreign;
pub use format_error::{FormatError, Part};
pub use ggml_type::GgmlType;
pub use header::Header;
pub use metadata::{Metadata, MetadataError};
pub use model::{GgufModel, shard_name};
pub use packed::{PackedError, PackedTensor};
pub use strings::Strings;
pub use tensor_info::TensorInfo;
pub use value::{Array, Value};
pub use writer::{GgufWriter, TensorWriter};
