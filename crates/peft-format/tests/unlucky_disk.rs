//! Saving when the disk is full, the folder cannot be written, or the process is killed.
//!
//! The child processes are this test program itself, called with the name of the same test and a folder in the
//! environment.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use peft_format::file::{
    FileError, HostTensor, PeftConfig, read_folder, write_atomic, write_folder,
};
use peft_format::target::Target;
use serde_json::Map;

/// Where a child process saves; absent in the test itself.
const CHILD: &str = "PEFT_TEST_CHILD_FOLDER";

fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// This program, started to run one test as a child, after `prepare` in a shell.
fn child(prepare: &str, test: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{prepare} exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Saves a folder whose alpha and whose every value are `version`.
fn save(folder: &Path, version: u16, values: usize) -> Result<(), FileError> {
    let mut config = PeftConfig::new("LORA", Target::List(vec!["q".into()]));
    config.lora_alpha = f64::from(version);
    let tensor = HostTensor::new("x", [values], vec![f32::from(version); values]).unwrap();
    let tensors = BTreeMap::from([("base_model.model.q.lora_A.weight".to_owned(), tensor)]);
    write_folder(folder, &config.to_map(&Map::new()), &tensors)
}

/// Alpha and the one value of a folder, which has nothing but its two files.
fn version(folder: &Path) -> (f64, f32) {
    let read = read_folder(folder).unwrap();
    let values = &read.tensors.values().next().unwrap().data;
    assert!(values.iter().all(|value| *value == values[0]));
    (read.config.lora_alpha, values[0])
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_full_disk_leaves_the_previous_folder_as_it_was() {
    if let Some(folder) = child_folder() {
        let error = save(&folder, 2, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), 1, 1000).unwrap();
    let before = fs::read(folder.path().join("adapter_model.safetensors")).unwrap();
    // No file may grow beyond this; without the trap the signal would kill the process.
    let full = "trap '' XFSZ; ulimit -f 512;";
    let test = "a_full_disk_leaves_the_previous_folder_as_it_was";
    assert!(child(full, test, folder.path()).status().unwrap().success());
    assert_eq!(
        fs::read(folder.path().join("adapter_model.safetensors")).unwrap(),
        before
    );
    assert_eq!(
        (version(folder.path()), files(folder.path())),
        ((1.0, 1.0), 2)
    );
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_folder() {
    if let Some(folder) = child_folder() {
        // Far more than it lives to write.
        (1..=u16::MAX).for_each(|version| save(&folder, version, 200_000).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), 0, 200_000).unwrap();
    let mut seen = Vec::new();
    for round in 0..12_u64 {
        let test = "a_kill_at_any_moment_leaves_a_whole_folder";
        let mut process = child("", test, folder.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 + 13 * round));
        process.kill().unwrap();
        process.wait().unwrap();
        // Between the two renames the folder says that it is unfinished, until it is written again.
        if let Err(FileError::Unfinished { .. }) = read_folder(folder.path()) {
            save(folder.path(), 0, 200_000).unwrap();
        }
        let (alpha, value) = version(folder.path());
        assert!(alpha == f64::from(value), "{alpha} {value}");
        seen.push(alpha);
    }
    assert!(
        seen.iter().any(|alpha| *alpha > 0.0),
        "no child saved anything: {seen:?}"
    );
}

#[test]
#[allow(clippy::print_stderr, reason = "a part that is skipped must be seen")]
fn a_folder_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), 1, 10).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    match save(folder.path(), 2, 10) {
        Ok(()) => eprintln!("SKIPPED in part: this user writes into folders without permission"),
        Err(error) => {
            let name = folder.path().to_str().unwrap();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(version(folder.path()), (1.0, 1.0));
        }
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Not even root makes files there.
    let error = write_atomic(Path::new("/proc/adapter_config.json"), b"{}").unwrap_err();
    assert!(error.to_string().contains("/proc"), "{error}");
}
