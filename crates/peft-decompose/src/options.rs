//! Settings that only folders of this project's own formats have.

use peft_core::PeftError;
use peft_core::file::PeftConfig;
use serde::de::DeserializeOwned;

/// A field of a method's own in a configuration; its default where the field is missing or null.
///
/// # Errors
/// [`PeftError::Option`] with the field and what serde reports.
pub(crate) fn own_option<T: DeserializeOwned + Default>(
    method: &'static str,
    config: &PeftConfig,
    field: &'static str,
) -> Result<T, PeftError> {
    let Some(value) = config.raw.get(field).filter(|value| !value.is_null()) else {
        return Ok(T::default());
    };
    T::deserialize(value).map_err(|error| PeftError::Option {
        method,
        option: field.into(),
        problem: error.to_string(),
    })
}

/// Refuses a folder of this project's own format that a later version wrote.
///
/// # Errors
/// [`PeftError::Unsupported`] naming the version.
pub(crate) fn check_format_version(
    method: &'static str,
    config: &PeftConfig,
) -> Result<(), PeftError> {
    const KNOWN: u64 = 1;
    let found = config.raw.get("format_version");
    match found.filter(|value| !value.is_null()) {
        Some(version) if version.as_u64() != Some(KNOWN) => Err(PeftError::Unsupported {
            problems: vec![format!(
                "`format_version` = {version}: this program reads version {KNOWN} of `{method}`; update it"
            )],
        }),
        _ => Ok(()),
    }
}
