//! What the tests share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::error::Error;
use std::path::{Path, PathBuf};

use peft_gguf::{GgufFile, GgufWriter};

/// A committed file.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// Writes a file's metadata and tensors to another one, in small pieces.
pub(crate) fn rewritten(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let file = GgufFile::open(from)?;
    let mut writer = GgufWriter::new();
    for (key, value) in file.metadata().iter() {
        writer.insert(key, value.clone())?;
    }
    for info in file.tensors() {
        writer.declare(info.name(), info.shape(), info.kind())?;
    }
    writer.write(to, |info, out| {
        let packed = file.read(info.name())?;
        packed
            .bytes()
            .chunks(7)
            .try_for_each(|piece| out.write(piece))?;
        Ok(())
    })
}

/// An error with all of its causes.
pub(crate) fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
