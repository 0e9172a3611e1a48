//! Devices by name: `auto`, `flex`, `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda`, the last four with `:N` for one of several; and
//! `remote:ID@HOST:PORT`, one of another machine. Training takes a list, `cuda:0,cuda:1`: the model lives on the first, and every step is dealt out between all.

use burn::tensor::Device;
use peft_core::Compute;

#[cfg(feature = "remote")]
mod remote;

#[cfg(feature = "remote")]
pub use remote::{ServeError, Server, TOKEN};

/// Backends with the feature that compiles each in.
pub const BACKENDS: &[(&str, bool)] = &[
    ("flex", cfg!(feature = "flex")),
    ("ndarray", cfg!(feature = "ndarray")),
    ("wgpu", cfg!(feature = "wgpu")),
    ("vulkan", cfg!(feature = "vulkan")),
    ("metal", cfg!(feature = "metal")),
    ("cuda", cfg!(feature = "cuda")),
    ("remote", cfg!(feature = "remote")),
];

/// Environment variable by which Burn chooses what `auto` takes.
pub const BURN_DEVICE: &str = "BURN_DEVICE";

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Something else than a number behind the colon.
    #[error("device `{choice}`: expected a number after the colon, for example cuda:0")]
    Number {
        /// What was asked for.
        choice: String,
    },
    /// A list of devices for work that one device does.
    #[error("device `{choice}`: only training is dealt out between devices; name one")]
    Several {
        /// What was asked for.
        choice: String,
    },
    /// A device of another machine that cannot be connected.
    #[error("device `{choice}`: {problem}")]
    Remote {
        /// What was asked for.
        choice: String,
        /// Why, and what to do.
        problem: String,
    },
    /// No device is called so.
    #[error("device `{choice}`: unknown; expected auto or one of {}", known())]
    Unknown {
        /// What was asked for.
        choice: String,
    },
    /// The backend is not compiled in.
    #[error(
        "device `{choice}`: this binary was built without it; build with `--features {feature}`"
    )]
    NotCompiled {
        /// What was asked for.
        choice: String,
        /// The feature that compiles it in.
        feature: String,
    },
    /// Products in bf16 where nothing multiplies it.
    #[error(
        "compute `bf16` on device `{choice}`: it is for processors with AVX512-BF16 (flex) and GPUs that multiply bfloat16; --compute auto takes it where it is known to be faster, and f32 elsewhere"
    )]
    Bf16 {
        /// What was asked for.
        choice: String,
    },
    /// The environment asks for a backend that is not compiled in.
    #[error(
        "{BURN_DEVICE}={wanted}: this binary has {}; unset the variable or build with that backend",
        compiled.join(", ")
    )]
    Environment {
        /// What the variable says.
        wanted: String,
        /// The backends that are compiled in.
        compiled: Vec<&'static str>,
    },
}

fn known() -> String {
    let names: Vec<&str> = BACKENDS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Opens the device that `choice` names; `auto` takes the fastest that is compiled in.
///
/// # Errors
/// An unknown name, one that this program was built without, or a device that is not there.
pub fn open(choice: &str) -> Result<Device, DeviceError> {
    if choice.contains(',') {
        return Err(DeviceError::Several {
            choice: choice.to_owned(),
        });
    }
    let (name, index) = match choice.split_once(':') {
        Some(("remote", place)) => return open_remote(choice, place),
        None if choice == "remote" => return open_remote(choice, ""),
        None => (choice, None),
        Some((name, index)) => match index.parse::<usize>() {
            Ok(index) => (name, Some(index)),
            Err(_) => {
                return Err(DeviceError::Number {
                    choice: choice.to_owned(),
                });
            }
        },
    };
    if name == "auto" && index.is_none() {
        check_environment()?;
        return Ok(Device::default());
    }
    if !BACKENDS.iter().any(|(known, _)| *known == name) {
        return Err(DeviceError::Unknown {
            choice: choice.to_owned(),
        });
    }
    open_compiled(name, index).ok_or_else(|| DeviceError::NotCompiled {
        choice: choice.to_owned(),
        feature: name.to_owned(),
    })
}

/// A device of another machine.
fn open_remote(choice: &str, place: &str) -> Result<Device, DeviceError> {
    #[cfg(feature = "remote")]
    return remote::open(choice, place);
    #[cfg(not(feature = "remote"))]
    {
        let _ = place;
        Err(DeviceError::NotCompiled {
            choice: choice.to_owned(),
            feature: "remote".to_owned(),
        })
    }
}

/// The first device of a list, by its name.
#[must_use]
pub fn first(choice: &str) -> &str {
    choice.split_once(',').map_or(choice, |(first, _)| first)
}

/// Opens the devices of a list that come after the first, for training.
///
/// # Errors
/// As [`open`].
pub fn further(choice: &str) -> Result<Vec<Device>, DeviceError> {
    let others = choice.split(',').skip(1);
    others.map(|one| open(one).map(Device::autodiff)).collect()
}

/// Whether all devices of a list are the processor itself, by flex.
///
/// # Errors
/// As [`open`].
pub(crate) fn are_processors(choice: &str) -> Result<bool, DeviceError> {
    let Some(processor) = open_compiled("flex", None) else {
        return Ok(false);
    };
    let mut all = true;
    for one in choice.split(',') {
        all &= open(one)? == processor;
    }
    Ok(all)
}

/// Whether all devices of a list multiply bfloat16.
///
/// # Errors
/// As [`open`].
pub(crate) fn multiply_bf16(choice: &str) -> Result<bool, DeviceError> {
    let mut all = true;
    for one in choice.split(',') {
        all &= Compute::Bf16.is_native_on(&open(one)?);
    }
    Ok(all)
}

/// Burn panics when its variable names a backend that is not compiled in; this says so instead.
fn check_environment() -> Result<(), DeviceError> {
    let Ok(wanted) = std::env::var(BURN_DEVICE) else {
        return Ok(());
    };
    let compiled: Vec<&'static str> = BACKENDS
        .iter()
        .filter_map(|(name, compiled)| compiled.then_some(*name))
        .collect();
    if compiled.contains(&wanted.to_lowercase().as_str()) {
        return Ok(());
    }
    Err(DeviceError::Environment { wanted, compiled })
}

#[allow(
    deprecated,
    unused_variables,
    reason = "backends that are compiled out use neither; Burn deprecates ndarray but still ships it"
)]
/// `None` where the backend is compiled out.
fn open_compiled(name: &str, index: Option<usize>) -> Option<Device> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Some(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Some(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::wgpu(gpu(index))),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(Device::vulkan(gpu(index))),
        #[cfg(feature = "metal")]
        "metal" => Some(Device::metal(gpu(index))),
        #[cfg(feature = "cuda")]
        "cuda" => Some(Device::cuda(index.unwrap_or(0))),
        _ => None,
    }
}

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
fn gpu(index: Option<usize>) -> burn::tensor::DeviceKind {
    index.map_or(
        burn::tensor::DeviceKind::DefaultDevice,
        burn::tensor::DeviceKind::DiscreteGpu,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_for_training_alone() {
        assert_eq!(first("flex,flex"), "flex");
        assert_eq!(first("flex"), "flex");
        assert_eq!(further("flex").unwrap(), []);
        assert_eq!(further("flex,flex,flex").unwrap().len(), 2);
        for (choice, expected) in [
            ("flex,cuda9", "cuda9"),
            ("flex,", "unknown"),
            ("flex,flex:x", "number"),
        ] {
            let error = further(choice).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = open("flex,flex").unwrap_err();
        assert!(matches!(error, DeviceError::Several { .. }), "{error}");
    }
}
