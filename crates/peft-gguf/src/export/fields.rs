//! A configuration, read by its fields.

use serde_json::{Map, Value as Json};

use super::ExportError;

const FILE: &str = "config.json";

/// A configuration, read by its fields.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Json>);

impl Fields<'_> {
    pub(super) fn get(&self, field: &str) -> Option<&Json> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn error(&self, field: &str, expected: &str) -> ExportError {
        let found = self.get(field);
        ExportError::Field {
            file: FILE,
            field: field.to_owned(),
            expected: expected.to_owned(),
            found: found.map_or("nothing".to_owned(), Json::to_string),
        }
    }

    pub(super) fn size_if_any(&self, field: &str) -> Result<Option<u32>, ExportError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let size = value.as_u64().and_then(|size| u32::try_from(size).ok());
        size.map(Some)
            .ok_or_else(|| self.error(field, "a size of at most 32 bits"))
    }

    pub(super) fn size(&self, field: &str) -> Result<u32, ExportError> {
        self.size_if_any(field)?
            .ok_or_else(|| self.error(field, "a size"))
    }

    pub(super) fn number_or(&self, field: &str, usual: f64) -> Result<f64, ExportError> {
        match self.get(field) {
            None => Ok(usual),
            Some(value) => value.as_f64().ok_or_else(|| self.error(field, "a number")),
        }
    }

    /// Refuses a field that files do not have where it is anything but what all readers of files take for granted.
    pub(super) fn require(&self, field: &str, granted: &Json) -> Result<(), ExportError> {
        let same = |value: &Json| match (value.as_f64(), granted.as_f64()) {
            (Some(value), Some(granted)) => value == granted,
            _ => value == granted,
        };
        match self.get(field) {
            Some(value) if !same(value) => Err(self.error(field, &granted.to_string())),
            _ => Ok(()),
        }
    }
}
