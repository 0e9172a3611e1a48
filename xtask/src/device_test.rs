//! `cargo xtask test --device wgpu`: the tests of the crates that hold methods, on another device.
//!
//! Burn compiles the device in by a feature and `Device::default()` follows the variable `BURN_DEVICE`.

use std::path::Path;

use anyhow::ensure;
use clap::{Args, ValueEnum};

use crate::shell::Step;

/// Crates that hold methods, in the order of their dependencies.
pub(crate) const METHOD_CRATES: [&str; 5] = [
    "peft-core",
    "peft-decompose",
    "peft-moe",
    "peft-prune",
    "peft-recycle",
];

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

/// The command that tests one crate on the device.
fn step(name: &str, arguments: &Arguments) -> Step {
    let device = arguments.device.name();
    Step::new(&format!("cargo test -p {name} --features burn/{device}"))
        .with_variable("BURN_DEVICE", device)
        .with_arguments(&arguments.rest)
}

/// Tests every crate that holds methods and exists.
///
/// # Errors
/// A crate does not compile for the device, or a test fails there.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let present: Vec<_> = METHOD_CRATES
        .into_iter()
        .filter(|name| root.join("crates").join(name).join("Cargo.toml").exists())
        .collect();
    ensure!(
        !present.is_empty(),
        "no method crate found under {}",
        root.join("crates").display()
    );
    present
        .into_iter()
        .try_for_each(|name| step(name, arguments).run(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_compiled_in_and_chosen() {
        let arguments = Arguments {
            device: Device::Wgpu,
            rest: vec!["contract".to_owned()],
        };
        assert_eq!(
            step("peft-core", &arguments).line(),
            "BURN_DEVICE=\"wgpu\" cargo test -p peft-core --features burn/wgpu contract"
        );
    }
}
