//! What the tests of the verbs share: running the program, and folders to run it on.
#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and a skipped one must be seen"
)]

pub(crate) mod decoder;
pub(crate) mod files;
pub(crate) mod place;

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// Runs the program.
pub(crate) fn peft(args: &[&str]) -> Output {
    peft_in(args, &[])
}

/// Runs the program with further environment variables.
pub(crate) fn peft_in(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::cargo_bin("peft").unwrap();
    for own in [
        "BURN_DEVICE",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "HF_ENDPOINT",
        "HF_TOKEN",
    ] {
        command.env_remove(own);
    }
    command.envs(variables.iter().copied());
    command.args(args).output().unwrap()
}

/// stdout of a run that succeeded.
pub(crate) fn stdout(args: &[&str]) -> String {
    let output = peft(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON value of a run that succeeded; stdout holds nothing else.
pub(crate) fn json(args: &[&str]) -> Value {
    let text = stdout(&[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The JSON value that a run printed, whatever it ended with.
pub(crate) fn printed(args: &[&str]) -> Value {
    let output = peft(&[args, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Merges an adapter into its model; `false` where the method has no weight to merge into, which must then be said.
pub(crate) fn merges(model: &str, adapter: &str, out: &str) -> bool {
    let output = peft(&[
        "merge",
        "--model",
        model,
        "--adapter",
        adapter,
        "--out",
        out,
    ]);
    let error = String::from_utf8_lossy(&output.stderr);
    let refused = error.contains("no single weight says the same");
    assert!(output.status.success() != refused, "{adapter}: {error}");
    !refused
}

/// Exit code and verdicts of `peft validate`.
pub(crate) fn verdicts(args: &[&str]) -> (i32, Vec<Value>) {
    let output = peft(&[&["validate", "--json"], args].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let verdicts = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), verdicts)
}

/// The verdict of `peft validate` on one folder; the exit code agrees with it.
pub(crate) fn verdict(args: &[&str]) -> Value {
    let (code, mut verdicts) = verdicts(args);
    let verdict = verdicts.remove(0);
    assert_eq!(code == 0, verdict["valid"] == true, "{verdict}");
    verdict
}

/// Exit code and stderr of a command that was refused: every file and folder that its arguments name is as it was, and
/// what was not there is not there.
pub(crate) fn failure(args: &[&str]) -> (i32, String) {
    let before = files::Files::below(files::paths(args));
    let (code, error) = failed(&peft(args));
    before.assert_same(files::paths(args), &format!("{args:?}: {error}"));
    (code, error)
}

/// Exit code and stderr of a run that failed.
pub(crate) fn failed(output: &Output) -> (i32, String) {
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), stderr)
}

/// A tiny model folder that Python wrote: `bert`, `distilbert` or `roberta`.
pub(crate) fn model(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../peft-models/tests/golden")
        .join(name);
    assert!(dir.join("config.json").exists(), "{}", dir.display());
    dir.to_str().unwrap().to_owned()
}

/// A part of the optional data folder: `PEFT_DATA`, or `../shared/data` beside the project.
pub(crate) fn data(part: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("PEFT_DATA")
        .map_or_else(beside, PathBuf::from)
        .join(part);
    if !folder.is_dir() {
        eprintln!(
            "SKIPPED: {} is absent; set PEFT_DATA to the data folder",
            folder.display()
        );
        return None;
    }
    Some(folder)
}
