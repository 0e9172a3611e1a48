//! What tests need that is no part of the project: real models, adapters and data sets.
//!
//! A test that finds none passes without having tested anything. It says so in `skipped-tests.txt` of the target folder, which
//! `cargo xtask validate` reads and counts.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file of the target folder with a line for each skipped test: its name and what it lacked.
pub const SKIPPED: &str = "skipped-tests.txt";

/// A file or folder of the data folder: `PEFT_DATA`, or `../shared/data` beside the project. `None`, and noted, where it is absent.
#[must_use]
pub fn data(part: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("PEFT_DATA").map_or_else(beside, PathBuf::from);
    present(root.join(part))
}

/// The path, where something is there; else `None`, and noted.
#[must_use]
pub fn present(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    note(&path);
    None
}

/// Tests run in threads of their names.
fn note(lacking: &Path) {
    let thread = std::thread::current();
    let line = format!(
        "{}: {} is absent\n",
        thread.name().unwrap_or("?"),
        lacking.display()
    );
    // target/debug/deps/TEST
    let target = std::env::current_exe().ok();
    let target = target.as_deref().and_then(|test| test.ancestors().nth(3));
    let file = target.map(|target| target.join(SKIPPED));
    let file = file.and_then(|file| OpenOptions::new().create(true).append(true).open(file).ok());
    if let Some(mut file) = file {
        // One write, so that lines of tests that run at once stay whole; a disk that refuses it is no reason to fail.
        drop(file.write_all(line.as_bytes()));
    }
}
