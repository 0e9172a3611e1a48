//! Everything that reads a foreign file, as functions of bytes: for cargo-fuzz, and for a test with the committed inputs.

pub mod adapter_config;
pub mod adapter_tensors;
pub mod data_file;
pub mod gguf;
pub mod gguf_export;
pub mod model_config;
pub mod picture;
pub mod run_file;
mod scratch;
pub mod template;
pub mod tokenizer;

/// A reader of bytes.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 10] = [
    ("adapter_config", adapter_config::run),
    ("adapter_tensors", adapter_tensors::run),
    ("data_file", data_file::run),
    ("gguf", gguf::run),
    ("gguf_export", gguf_export::run),
    ("model_config", model_config::run),
    ("picture", picture::run),
    ("run_file", run_file::run),
    ("template", template::run),
    ("tokenizer", tokenizer::run),
];
