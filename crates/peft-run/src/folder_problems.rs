//! Why an adapter folder cannot be read: everything at once.

use std::path::Path;

use peft_core::causes;
use peft_core::file::{FileError, read_config, read_folder_tensors};

/// Problems of a folder whose files do not both read: config and tensors are looked at by themselves, so that both
/// are named.
pub(crate) fn file_problems(dir: &Path, error: &FileError) -> Vec<String> {
    if matches!(
        error,
        FileError::NamedAdapters { .. } | FileError::Loralib(_) | FileError::Foreign(_)
    ) || !dir.is_dir()
    {
        return vec![causes(error)];
    }
    let both = [read_config(dir).err(), read_folder_tensors(dir).err()];
    let mut problems: Vec<String> = both.iter().flatten().map(|error| causes(error)).collect();
    if problems.is_empty() {
        problems.push(causes(error));
    }
    problems
}
