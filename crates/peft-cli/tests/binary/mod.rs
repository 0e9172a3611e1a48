//! What the tests of the verbs share: running the program, and folders to run it on.
#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and a skipped one must be seen"
)]

pub(crate) mod contents;
pub(crate) mod dealt_out;
pub(crate) mod decoder;
pub(crate) mod files;
pub(crate) mod place;
pub(crate) mod seen;
pub(crate) mod tiny_llama;
pub(crate) mod usable;

use std::path::Path;
use std::process::{self, Child, Output, Stdio};

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

/// Starts the program and does not wait; stdout and stderr go where `output` says.
pub(crate) fn spawn(args: &[&str], output: fn() -> Stdio) -> Child {
    process::Command::new(env!("CARGO_BIN_EXE_peft"))
        .args(args)
        .env_remove("BURN_DEVICE")
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap()
}

/// Sends a process `-INT` or another signal; whether it was there to take it.
pub(crate) fn signal(child: &Child, signal: &str) -> bool {
    process::Command::new("sh")
        .args(["-c", &format!("kill {signal} {}", child.id())])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// stdout and stderr of a run that succeeded.
pub(crate) fn succeeded(args: &[&str]) -> (String, String) {
    let output = peft(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

/// stdout of a run that succeeded.
pub(crate) fn stdout(args: &[&str]) -> String {
    succeeded(args).0
}

/// stderr of a run that succeeded.
pub(crate) fn said(args: &[&str]) -> String {
    succeeded(args).1
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

/// Runs `peft merge`, by a way of running it: [`json`], [`said`], ..
pub(crate) fn merge<T>(model: &str, adapter: &str, out: &str, run: impl FnOnce(&[&str]) -> T) -> T {
    run(&[
        "merge",
        "--model",
        model,
        "--adapter",
        adapter,
        "--out",
        out,
    ])
}

/// Merges an adapter into its model; `false` where the method has no weight to merge into, which must then be said.
pub(crate) fn merges(model: &str, adapter: &str, out: &str) -> bool {
    let output = merge(model, adapter, out, peft);
    let error = String::from_utf8_lossy(&output.stderr);
    let refused = error.contains("no single weight says the same");
    assert!(output.status.success() != refused, "{adapter}: {error}");
    !refused
}

/// The rank that tests of every method give one of them: VeRA's counts far less than others'.
pub(crate) fn usual_rank(method: &str) -> &'static str {
    match method {
        "vera" => "64",
        _ => "4",
    }
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

/// The arguments of a command, kept: a way of running it that runs nothing.
pub(crate) fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

/// Kept arguments, as they are run.
pub(crate) fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// A tiny model folder that Python wrote: `bert`, `distilbert` or `roberta`.
pub(crate) fn model(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../peft-models/tests/golden")
        .join(name);
    assert!(dir.join("config.json").exists(), "{}", dir.display());
    dir.to_str().unwrap().to_owned()
}
