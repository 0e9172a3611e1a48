//! The names of the files of a model in several files.

use std::path::{Path, PathBuf};

use peft_format::file::input::GGUF_FILES_LIMIT;

use crate::GgufError;

/// Missing files that a message names.
const NAMED: usize = 10;

/// The name of a file of several, which is numbered from 1: `NAME-00001-of-00003.gguf`.
#[must_use]
pub fn shard_name(name: &str, number: u64, count: u64) -> String {
    format!("{name}-{number:05}-of-{count:05}.gguf")
}

/// The paths of all files of a model, given one of them with its number from 1. All are there.
pub(super) fn paths(path: &Path, number: u64, count: u64) -> Result<Vec<PathBuf>, GgufError> {
    let misnamed = || GgufError::ShardName {
        path: path.to_owned(),
        number,
        count,
    };
    let file_name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(misnamed)?;
    let name = file_name
        .strip_suffix(&shard_name("", number, count))
        .ok_or_else(misnamed)?;
    if count > GGUF_FILES_LIMIT.get() {
        return Err(GgufError::TooManyFiles {
            path: path.to_owned(),
            count,
            limit: GGUF_FILES_LIMIT,
        });
    }
    let names = (1..=count).map(|number| shard_name(name, number, count));
    let all: Vec<PathBuf> = names.map(|name| path.with_file_name(name)).collect();
    let missing: Vec<&PathBuf> = all.iter().filter(|path| !path.exists()).collect();
    if missing.is_empty() {
        return Ok(all);
    }
    let named = missing
        .iter()
        .filter_map(|path| path.file_name())
        .take(NAMED);
    let mut named: Vec<String> = named
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if missing.len() > NAMED {
        named.push(format!("and {} others", missing.len() - NAMED));
    }
    Err(GgufError::MissingShards {
        path: path.to_owned(),
        count,
        missing: named,
    })
}
