//! `cargo xtask test --device wgpu`: the tests that every method passes, on another device.
//!
//! Burn compiles the device in by a feature and `Device::default()` follows the variable `BURN_DEVICE`.

use std::path::Path;

use clap::{Args, ValueEnum};

use crate::shell::Step;
use crate::tidy::METHOD_CRATES;

/// A device that Burn can be built for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    Flex,
    Ndarray,
    Wgpu,
    Cuda,
}

impl Device {
    /// Name of the Burn feature, and the value of `BURN_DEVICE`.
    fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }
}

/// Arguments of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the tensors live.
    #[arg(long, value_enum, default_value = "flex")]
    device: Device,
    /// Passed on to `cargo test`, for example a part of a test's name.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Integration tests that run on the device that `BURN_DEVICE` names: the contract of all methods and the hosts.
const TESTS: [&str; 4] = ["contract", "seams", "several_adapters", "embedding"];

/// A command that tests the crates of those tests, which need neither models nor the program, with the second processor backend compiled in.
fn with_ndarray() -> String {
    let crates = ["peft-core", "peft-kernels"].iter().chain(&METHOD_CRATES);
    let crates: Vec<String> = crates.map(|name| format!("-p {name}")).collect();
    format!(
        "cargo test {} --features peft-kernels/ndarray",
        crates.join(" ")
    )
}

/// The command that tests on the device.
fn step(arguments: &Arguments) -> Step {
    let device = arguments.device.name();
    let tests: Vec<String> = TESTS.iter().map(|test| format!("--test {test}")).collect();
    let command = match arguments.device {
        // The default build, which the other tests share.
        Device::Flex => "cargo test --workspace".to_owned(),
        Device::Ndarray => with_ndarray(),
        Device::Wgpu | Device::Cuda => {
            format!("cargo test --workspace --features peft-cli/{device}")
        }
    };
    Step::new(&format!("{command} {}", tests.join(" ")))
        .with_variable("BURN_DEVICE", device)
        .with_arguments(&arguments.rest)
}

/// The tests on the second processor backend.
pub(crate) fn on_ndarray() -> Step {
    step(&Arguments {
        device: Device::Ndarray,
        rest: Vec::new(),
    })
}

/// Runs the tests.
///
/// # Errors
/// Something does not compile for the device, or a test fails there.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    step(arguments).run(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_compiled_in_and_chosen() {
        let line = |device, rest: &[&str]| {
            let rest = rest.iter().map(|argument| (*argument).to_owned()).collect();
            step(&Arguments { device, rest }).line()
        };
        let tests = "--test contract --test seams --test several_adapters --test embedding";
        assert_eq!(
            line(Device::Wgpu, &["lora"]),
            format!(
                "BURN_DEVICE=\"wgpu\" cargo test --workspace --features peft-cli/wgpu {tests} lora"
            )
        );
        let ndarray = line(Device::Ndarray, &[]);
        assert!(
            ndarray.starts_with("BURN_DEVICE=\"ndarray\" cargo test -p peft-core -p peft-kernels")
                && ndarray.ends_with(&format!("--features peft-kernels/ndarray {tests}")),
            "{ndarray}"
        );
    }
}
