//! `peft env`: what a bug report needs.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::devices::{self, BackendRow};
use peft_run::device::BURN_DEVICE;

/// Environment variables that change what this program does; none of them is a secret.
const VARIABLES: &[&str] = &[
    BURN_DEVICE,
    "HF_HOME",
    "RAYON_NUM_THREADS",
    "RUST_BACKTRACE",
];

/// This program and the machine it runs on.
#[derive(Debug, Serialize)]
struct EnvResult {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
    /// Processors that this process may use.
    cpus: Option<usize>,
    /// Memory of the machine in MiB, where the system tells.
    memory_mib: Option<u64>,
    /// Memory that is free to use, in MiB, where the system tells.
    available_mib: Option<u64>,
    backends: Vec<BackendRow>,
    /// The device that `auto` takes, or why it takes none.
    auto: String,
    /// The variables that change what this program does; null when unset.
    variables: BTreeMap<&'static str, Option<String>>,
}

/// Runs the verb.
pub fn run(json: bool) -> Result<()> {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let variable = |name: &&'static str| {
        let value = std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        (*name, value)
    };
    let result = EnvResult {
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        cpus: std::thread::available_parallelism()
            .ok()
            .map(|cpus| cpus.get()),
        memory_mib: meminfo(&memory, "MemTotal"),
        available_mib: meminfo(&memory, "MemAvailable"),
        backends: devices::backends(),
        auto: devices::auto()
            .unwrap_or_else(|error| format!("none: {}", peft_core::causes(error.as_ref()))),
        variables: VARIABLES.iter().map(variable).collect(),
    };
    if json {
        return super::print_json(&result);
    }
    print(&result);
    Ok(())
}

/// A figure of `/proc/meminfo` in MiB.
fn meminfo(text: &str, field: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

fn print(result: &EnvResult) {
    let unknown = || "unknown".to_owned();
    let mib = |value: Option<u64>| value.map_or_else(unknown, |mib| format!("{mib} MiB"));
    let compiled: Vec<&str> = result
        .backends
        .iter()
        .filter(|backend| backend.compiled)
        .map(|backend| backend.name)
        .collect();
    let cpus = result.cpus.map_or_else(unknown, |cpus| cpus.to_string());
    println!("peft        {}", result.version);
    println!("system      {} {}", result.os, result.arch);
    println!("processors  {cpus}");
    println!(
        "memory      {}, {} available",
        mib(result.memory_mib),
        mib(result.available_mib)
    );
    println!("backends    {}", compiled.join(", "));
    println!("auto        {}", result.auto);
    for (name, value) in &result.variables {
        println!("{name}={}", value.as_deref().unwrap_or("(unset)"));
    }
}

#[cfg(test)]
mod tests {
    use super::meminfo;

    #[test]
    fn memory_is_read_by_field_and_in_mebibytes() {
        let text = "MemTotalX: 1 kB\nMemTotal:       24680448 kB\nMemFree: 2048 kB\n";
        assert_eq!(meminfo(text, "MemTotal"), Some(24102));
        assert_eq!(meminfo(text, "MemFree"), Some(2));
        assert_eq!(meminfo(text, "MemAvailable"), None);
    }
}
