//! `peft devices`: which backends are compiled in, and which one `auto` takes; with `serve`, this machine's devices for others.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use peft_run::device::{self, BACKENDS};

mod serve;

/// Arguments of `peft devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    #[command(subcommand)]
    verb: Option<DevicesVerb>,
}

#[derive(Debug, Subcommand)]
enum DevicesVerb {
    /// Let other machines compute on this one's devices, by `--device remote:ID@HOST:PORT`; PEFT_DEVICE_TOKEN is the secret that they
    /// must know.
    Serve(serve::ServeArgs),
}

/// One backend.
#[derive(Debug, Clone, Serialize)]
pub struct BackendRow {
    /// Name for `--device`, and the cargo feature that compiles it in.
    pub name: &'static str,
    /// Whether this binary has it.
    pub compiled: bool,
}

/// What this binary can compute on.
#[derive(Debug, Serialize)]
struct DevicesResult {
    backends: Vec<BackendRow>,
    auto: String,
}

/// Every backend that this program knows.
pub fn backends() -> Vec<BackendRow> {
    let row = |(name, compiled): &(&'static str, bool)| BackendRow {
        name,
        compiled: *compiled,
    };
    BACKENDS.iter().map(row).collect()
}

/// The device that `auto` takes, as Burn prints it.
///
/// # Errors
/// When the environment asks for a backend that is not compiled in.
pub fn auto() -> Result<String> {
    let text = format!("{:?}", device::open("auto")?);
    let inner = text
        .strip_prefix("Device<")
        .and_then(|rest| rest.strip_suffix('>'));
    Ok(inner.unwrap_or(&text).to_owned())
}

/// Runs the verb.
pub fn run(args: &DevicesArgs, json: bool) -> Result<()> {
    if let Some(DevicesVerb::Serve(args)) = &args.verb {
        return serve::run(args);
    }
    let result = DevicesResult {
        backends: backends(),
        auto: auto()?,
    };
    if json {
        return super::print_json(&result);
    }
    for backend in &result.backends {
        let state = match backend.compiled {
            true => format!("compiled in: --device {}", backend.name),
            false => format!(
                "absent: cargo build --release -p peft-cli --features {}",
                backend.name
            ),
        };
        println!("{:<10}{state}", backend.name);
    }
    println!("{:<10}{}", "auto", result.auto);
    Ok(())
}
