//! Output folders that are in use, full or not to be written: a clear error, and what was there stays.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::fs;
use std::path::Path;
use std::process::Command;

use binary::{failure, model, stdout};
use peft_core::file::claim_folder;

fn merge<'a>(bert: &'a str, adapter: &'a str, out: &'a str) -> [&'a str; 8] {
    [
        "merge",
        "--model",
        bert,
        "--adapter",
        adapter,
        "--out",
        out,
        "--overwrite",
    ]
}

#[test]
fn a_folder_that_another_process_writes_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let bert = model("bert");
    let adapter = format!("{bert}/adapter");
    let args = merge(&bert, &adapter, out.to_str().unwrap());
    let claim = claim_folder(&out, false).unwrap();
    let (code, error) = failure(&args);
    assert!(
        code == 1 && error.contains("is in use: another process writes there"),
        "{code} {error}"
    );
    drop(claim);
    stdout(&args);
    assert!(out.join("model.safetensors").exists());
    assert!(fs::read_dir(&out).unwrap().all(|entry| {
        !entry
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .starts_with('.')
    }));
}

#[test]
fn a_full_disk_is_said_and_leaves_the_merged_model_that_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let bert = model("bert");
    let adapter = format!("{bert}/adapter");
    let args = merge(&bert, &adapter, out.to_str().unwrap());
    stdout(&args);
    let weights = out.join("model.safetensors");
    let before = fs::read(&weights).unwrap();
    let program = assert_cmd::cargo::cargo_bin("peft");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
        .arg(program)
        .args(args)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("cannot write") && error.contains("model.safetensors"),
        "{error}"
    );
    assert_eq!(fs::read(&weights).unwrap(), before);
    let left = fs::read_dir(&out).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "tmp")
    });
    assert_eq!(left.count(), 0);
}
