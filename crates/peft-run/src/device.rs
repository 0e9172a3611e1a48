//! Devices by name: `auto`, `flex`, `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda`, the last four with `:N` for one of several.

use anyhow::{Result, bail};
use burn::tensor::Device;

/// Backends with the feature that compiles each in.
pub const BACKENDS: &[(&str, bool)] = &[
    ("flex", cfg!(feature = "flex")),
    ("ndarray", cfg!(feature = "ndarray")),
    ("wgpu", cfg!(feature = "wgpu")),
    ("vulkan", cfg!(feature = "vulkan")),
    ("metal", cfg!(feature = "metal")),
    ("cuda", cfg!(feature = "cuda")),
];

/// Environment variable by which Burn chooses what `auto` takes.
pub const BURN_DEVICE: &str = "BURN_DEVICE";

/// Opens the device that `choice` names; `auto` takes the fastest that is compiled in.
///
/// # Errors
/// An unknown name, one that this program was built without, or a device that is not there.
pub fn open(choice: &str) -> Result<Device> {
    let (name, index) = match choice.split_once(':') {
        None => (choice, None),
        Some((name, index)) => match index.parse::<usize>() {
            Ok(index) => (name, Some(index)),
            Err(_) => {
                bail!("device `{choice}`: expected a number after the colon, for example cuda:0")
            }
        },
    };
    if name == "auto" && index.is_none() {
        check_environment()?;
        return Ok(Device::default());
    }
    let Some((_, compiled)) = BACKENDS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = BACKENDS.iter().map(|(name, _)| *name).collect();
        bail!(
            "device `{choice}`: unknown; expected auto or one of {}",
            known.join(", ")
        );
    };
    if !compiled {
        bail!(
            "device `{choice}`: this binary was built without it; build with `--features {name}`"
        );
    }
    open_compiled(name, index)
}

/// Burn panics when its variable names a backend that is not compiled in; this says so instead.
fn check_environment() -> Result<()> {
    let Ok(wanted) = std::env::var(BURN_DEVICE) else {
        return Ok(());
    };
    let compiled: Vec<&str> = BACKENDS
        .iter()
        .filter_map(|(name, compiled)| compiled.then_some(*name))
        .collect();
    if compiled.contains(&wanted.to_lowercase().as_str()) {
        return Ok(());
    }
    bail!(
        "{BURN_DEVICE}={wanted}: this binary has {}; unset the variable or build with that backend",
        compiled.join(", ")
    )
}

#[allow(
    deprecated,
    clippy::unnecessary_wraps,
    unused_variables,
    reason = "backends that are compiled out use neither; Burn deprecates ndarray but still ships it"
)]
fn open_compiled(name: &str, index: Option<usize>) -> Result<Device> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(gpu(index))),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(gpu(index))),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(gpu(index))),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(index.unwrap_or(0))),
        other => bail!("device `{other}` is not compiled in"),
    }
}

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
fn gpu(index: Option<usize>) -> burn::tensor::DeviceKind {
    index.map_or(
        burn::tensor::DeviceKind::DefaultDevice,
        burn::tensor::DeviceKind::DiscreteGpu,
    )
}
