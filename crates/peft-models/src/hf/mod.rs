//! Model folders in the Hugging Face layout: configuration and weights, read and written.

mod adapter_folder;
mod archive;
mod config;
mod dtype;
mod file_names;
mod gguf_file;
#[cfg(feature = "hub")]
mod hub;
mod initial;
mod json;
mod kept;
mod save;
mod spelling;
mod stream;
mod unfolded;
mod weights;

pub(crate) use archive::Rows;
pub use archive::{TensorArchive, TensorEntry};
pub(crate) use config::LARGEST;
pub use config::ModelConfig;
pub use dtype::FloatDtype;
pub use gguf_file::write_gguf;
#[cfg(feature = "hub")]
pub use hub::{Hub, HubId};
pub use save::{COMPANIONS, HostTensors, export, save_model, write_model};
pub use unfolded::{unfold, unfold_into};
pub use weights::{HeadLabels, HeadPolicy, LoadReport, WeightReader};
