//! What large products are computed in, by name: `f32`, `bf16`, or `auto`.

use std::fmt;
use std::str::FromStr;

use peft_core::Compute;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::device::{self, DeviceError};

/// What the products of layers and of attention multiply. Sums, norms and the optimizer are f32 always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Precision {
    /// bf16 where the processor multiplies it faster than f32, f32 elsewhere.
    Auto,
    /// f32.
    #[default]
    F32,
    /// Factors rounded to bfloat16.
    Bf16,
}

const NAMES: [(&str, Precision); 3] = [
    ("auto", Precision::Auto),
    ("f32", Precision::F32),
    ("bf16", Precision::Bf16),
];

impl Precision {
    /// Runs work on a device, or on several of a list, with products so.
    ///
    /// # Errors
    /// Those of the work; bf16 where the device does not multiply it.
    pub fn run<R>(self, device: &str, work: impl FnOnce() -> Result<R>) -> Result<R> {
        let compute = self.on(device)?;
        if compute == Compute::Bf16 && !compute.is_faster() && device::are_processors(device)? {
            log::warn!(
                "--compute bf16 keeps less memory here, but takes more time than f32: this processor multiplies bfloat16 slowly"
            );
        }
        compute.run(work)
    }

    /// Whether products on a device, or on several of a list, are in bf16; not where there is no such device.
    pub(crate) fn is_rounded_on(self, device: &str) -> bool {
        self.on(device)
            .is_ok_and(|compute| compute == Compute::Bf16)
    }

    /// What it means on a device, or on several of a list.
    pub(crate) fn on(self, device: &str) -> Result<Compute, DeviceError> {
        let has = match self {
            Self::F32 => return Ok(Compute::F32),
            Self::Auto if !Compute::Bf16.is_faster() => return Ok(Compute::F32),
            Self::Auto => device::are_processors(device)?,
            Self::Bf16 => device::multiply_bf16(device)?,
        };
        match (self, has) {
            (_, true) => Ok(Compute::Bf16),
            (Self::Bf16, false) => Err(DeviceError::Bf16 {
                choice: device.to_owned(),
            }),
            (_, false) => Ok(Compute::F32),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().find(|(_, precision)| precision == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// No precision is called so.
#[derive(Debug, thiserror::Error)]
#[error("compute `{0}`: expected auto, f32 or bf16")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, UnknownPrecision> {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map_or_else(
            || Err(UnknownPrecision(name.to_owned())),
            |known| Ok(known.1),
        )
    }
}

impl TryFrom<String> for Precision {
    type Error = UnknownPrecision;

    fn try_from(name: String) -> Result<Self, UnknownPrecision> {
        name.parse()
    }
}

impl From<Precision> for String {
    fn from(precision: Precision) -> Self {
        precision.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (name, precision) in NAMES {
            assert_eq!(name.parse::<Precision>().unwrap(), precision);
            assert_eq!(precision.to_string(), name);
        }
        let error = "fp8".parse::<Precision>().unwrap_err().to_string();
        assert!(error.contains("fp8") && error.contains("bf16"), "{error}");
    }

    #[test]
    fn bf16_is_taken_where_it_gains_time_and_refused_with_the_way_out_where_it_is_not_had() {
        let native = Compute::Bf16.is_native();
        let of = |precision: Precision, device| precision.run(device, || Ok(Compute::current()));
        for device in ["flex", "flex,flex"] {
            assert_eq!(of(Precision::F32, device).unwrap(), Compute::F32);
            let auto = match Compute::Bf16.is_faster() {
                true => Compute::Bf16,
                false => Compute::F32,
            };
            assert_eq!(of(Precision::Auto, device).unwrap(), auto);
            match of(Precision::Bf16, device) {
                Ok(found) => assert_eq!((found, native), (Compute::Bf16, true)),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!native && text.contains("--compute auto"), "{text}");
                }
            }
        }
        assert_eq!(Compute::current(), Compute::F32);
    }
}
