//! Hugging Face PEFT adapter folders: `adapter_config.json` and `adapter_model.safetensors` (or `adapter_model.bin`).
//!
//! Nothing here knows a method: the config is a typed view with the raw fields beside it, and tensor keys are
//! parsed with a list of tensor names that the caller gives. Reading collects every problem before it fails;
//! writing is atomic per file and byte-deterministic. No code is ever executed from a file.

mod atomic;
mod claim;
mod config;
pub mod disk;
mod dtype;
mod error;
mod foreign;
mod indexed;
pub mod input;
mod integers;
mod keys;
mod leftover;
mod limit;
mod loralib;
mod merged_linear;
mod oddity;
mod open;
mod pickle;
mod read;
mod spelling;
mod tensor;
mod unfinished;
mod whole;
mod without_config;
mod write;

pub use atomic::{Staged, StagedWriter, sync_folder, write_atomic};
pub use claim::{FolderClaim, claim_folder, holds_anything};
pub use config::{LORA_ALPHA, PeftConfig, Unsupported, to_json};
pub use dtype::StoredDtype;
pub use error::{FieldProblem, FileError, NonFinite, TensorProblem};
pub use foreign::{Foreign, ForeignKind, MLX_TENSOR_FILE, foreign};
pub use indexed::TensorFile;
pub(crate) use integers::quantised;
pub use keys::{TensorKey, index_keys, key, parse_key};
pub use leftover::{remove_file, remove_folder};
pub use loralib::Loralib;
pub use merged_linear::merged_linear;
pub(crate) use merged_linear::merged_shapes;
pub use oddity::{KeyOddity, key_oddities};
pub use pickle::read_pickle;
pub use read::{AdapterFolder, check_finite, read_config, read_folder, read_folder_tensors};
pub(crate) use spelling::named_once;
pub use tensor::HostTensor;
pub use unfinished::{require_finished, together};
pub use whole::read_tensors;
pub use write::{encode_tensors, write_folder, write_tensors};

/// Name of the config file in an adapter folder.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the tensor file in an adapter folder.
pub const TENSOR_FILE: &str = "adapter_model.safetensors";
/// Name of the pickled tensor file of older adapter folders.
pub const PICKLE_FILE: &str = "adapter_model.bin";
