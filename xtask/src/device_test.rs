//! `cargo xtask test --device wgpu`: the tests that every method passes, on another device, and those of the kernels for it.
//!
//! Burn compiles the device in by a feature and `Device::default()` follows the variable `BURN_DEVICE`.

use std::path::Path;

use clap::{Args, ValueEnum};

use crate::shell::Step;
use crate::skipped::Skipped;
use crate::tidy::METHOD_CRATES;

/// A device that Burn can be built for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Device {
    Flex,
    Ndarray,
    Wgpu,
    Cuda,
}

impl Device {
    /// What compiles it in, and the program for it.
    fn features(self) -> &'static str {
        match self {
            Self::Flex => "",
            Self::Ndarray => "--features peft-cli/ndarray",
            // Without trying several products for each shape: a driver in software takes minutes for each.
            Self::Wgpu => "--features peft-cli/untuned-wgpu",
            Self::Cuda => "--features peft-cli/cuda",
        }
    }

    /// Name of the Burn feature, and the value of `BURN_DEVICE`.
    pub(crate) fn name(self) -> &'static str {
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

/// What the program does on a graphics processor.
const ON_GPU: &str = "--test gpu";

/// The crate of the kernels, and those without a test of a library that give what all build on the features that it has in the whole
/// workspace: else Burn would be built once for the kernels and once for the contracts.
const KERNELS: &str =
    "-p peft-kernels -p peft-benches -p peft-cli -p peft-examples -p peft-parquet -p xtask";

/// A command that tests the crates of those tests, which need neither models nor the program, with the second processor backend compiled in.
fn with_ndarray() -> String {
    let crates = ["peft-core", "peft-kernels"].iter().chain(&METHOD_CRATES);
    let crates: Vec<String> = crates.map(|name| format!("-p {name}")).collect();
    format!(
        "cargo test {} --features peft-kernels/ndarray",
        crates.join(" ")
    )
}

/// The commands that test on the device.
fn steps(arguments: &Arguments) -> Vec<Step> {
    let device = arguments.device.name();
    let tests: Vec<String> = TESTS.iter().map(|test| format!("--test {test}")).collect();
    let tests = tests.join(" ");
    let commands = match arguments.device {
        // The default build, which the other tests share.
        Device::Flex => vec![format!("cargo test --workspace {tests}")],
        Device::Ndarray => vec![format!("{} {tests}", with_ndarray())],
        Device::Wgpu | Device::Cuda => {
            let features = arguments.device.features();
            vec![
                format!("cargo test {KERNELS} {features} --lib"),
                format!("cargo test --workspace {features} {tests} {ON_GPU}"),
            ]
        }
    };
    let commands = commands.iter().map(|command| {
        Step::new(command)
            .with_variable("BURN_DEVICE", device)
            .with_arguments(&arguments.rest)
    });
    commands.collect()
}

/// Commands that build those tests and the program for a device, and tell as JSON where they are.
pub(crate) fn builds(device: Device) -> Vec<Step> {
    let tests = steps(&Arguments {
        device,
        rest: vec!["--no-run".into(), AS_JSON.into()],
    });
    let features = device.features();
    let program = format!("cargo build --workspace {features} --bin peft {AS_JSON}");
    tests.into_iter().chain([Step::new(&program)]).collect()
}

const AS_JSON: &str = "--message-format=json";

/// The tests on the second processor backend.
pub(crate) fn on_ndarray() -> Vec<Step> {
    steps(&Arguments {
        device: Device::Ndarray,
        rest: Vec::new(),
    })
}

/// Runs the tests.
///
/// # Errors
/// Something does not compile for the device, or a test fails there.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let skipped = Skipped::none_yet(root)?;
    for step in steps(arguments) {
        step.run(root)?;
    }
    println!("{}", skipped.told()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_compiled_in_and_chosen() {
        let lines = |device, rest: &[&str]| -> Vec<String> {
            let rest = rest.iter().map(|argument| (*argument).to_owned()).collect();
            let steps = steps(&Arguments { device, rest });
            steps.iter().map(Step::line).collect()
        };
        let tests = "--test contract --test seams --test several_adapters --test embedding";
        let features = "--features peft-cli/untuned-wgpu";
        assert_eq!(
            lines(Device::Wgpu, &["lora"]),
            [
                format!("BURN_DEVICE=\"wgpu\" cargo test {KERNELS} {features} --lib lora"),
                format!(
                    "BURN_DEVICE=\"wgpu\" cargo test --workspace {features} {tests} {ON_GPU} lora"
                ),
            ]
        );
        let ndarray = lines(Device::Ndarray, &[]);
        assert!(
            ndarray.len() == 1
                && ndarray[0]
                    .starts_with("BURN_DEVICE=\"ndarray\" cargo test -p peft-core -p peft-kernels")
                && ndarray[0].ends_with(&format!("--features peft-kernels/ndarray {tests}")),
            "{ndarray:?}"
        );
    }
}
