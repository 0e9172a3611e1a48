//! Entries of the metadata under the keys of an architecture.

use std::path::Path;

use serde_json::Number;

use super::{Architecture, HfError};
use crate::{GgufError, GgufModel, Metadata, MetadataError, Value};

/// More than any size of a model has; products of two are still numbers.
const LARGEST: i64 = u32::MAX as i64;

/// The metadata of a model, by keys without the architecture's name.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    path: &'a Path,
    metadata: &'a Metadata,
    architecture: Architecture,
}

impl<'a> Keys<'a> {
    pub(super) fn new(model: &'a GgufModel, architecture: Architecture) -> Self {
        Self {
            path: model.path(),
            metadata: model.metadata(),
            architecture,
        }
    }

    /// The whole key.
    pub(super) fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn error(&self, source: MetadataError) -> HfError {
        HfError::Gguf(GgufError::Metadata {
            path: self.path.to_owned(),
            source,
        })
    }

    pub(super) fn unsupported(
        &self,
        what: impl Into<String>,
        found: impl ToString,
        supported: impl Into<String>,
    ) -> HfError {
        HfError::Unsupported {
            path: self.path.to_owned(),
            what: what.into(),
            found: found.to_string(),
            supported: supported.into(),
        }
    }

    /// A size above 0 that must be there. Where a file has one for each block, they must be the same, for `config.json` has one for all.
    pub(super) fn size(&self, key: &str) -> Result<u64, HfError> {
        let full = self.full(key);
        let all = self.metadata.integers(&full).map_err(|e| self.error(e))?;
        let first = all.first().copied().unwrap_or_default();
        if let Some(other) = all.iter().find(|value| **value != first) {
            let found = format!("{first} in one block and {other} in another");
            return Err(self.unsupported(full, found, "the same number in all blocks"));
        }
        match u64::try_from(first) {
            Ok(size) if (1..=LARGEST).contains(&first) => Ok(size),
            _ => Err(self.unsupported(full, first, "a number from 1 to 2^32 - 1")),
        }
    }

    /// A size above 0, where it is there.
    pub(super) fn size_if_any(&self, key: &str) -> Result<Option<u64>, HfError> {
        self.if_any(&self.full(key), |_| self.size(key))
    }

    /// An integer of any size, where it is there: 0 is what no size is.
    pub(super) fn integer_if_any(&self, key: &str) -> Result<Option<u64>, HfError> {
        self.if_any(&self.full(key), |full| {
            self.metadata.u64(full).map_err(|e| self.error(e))
        })
    }

    /// The id of a token (`tokenizer.ggml.*`), where it is there and one of the vocabulary's. Old converters wrote -1 for none.
    pub(super) fn token(&self, key: &str, vocabulary: u64) -> Result<Option<u64>, HfError> {
        let id = self.if_any(&format!("tokenizer.ggml.{key}"), |full| {
            self.metadata.i64(full).map_err(|e| self.error(e))
        })?;
        Ok(id
            .and_then(|id| u64::try_from(id).ok())
            .filter(|id| *id < vocabulary))
    }

    /// A text, where it is there.
    pub(super) fn text_if_any(&self, key: &str) -> Result<Option<&'a str>, HfError> {
        self.if_any(&self.full(key), |full| {
            self.metadata.text(full).map_err(|e| self.error(e))
        })
    }

    /// A number that must be there.
    pub(super) fn number(&self, key: &str) -> Result<Number, HfError> {
        let full = self.full(key);
        let value = self.metadata.f64(&full).map_err(|e| self.error(e))?;
        let single = matches!(self.metadata.get(&full), Some(Value::F32(_)));
        Number::from_f64(shortest(value, single))
            .ok_or_else(|| self.unsupported(full, value, "a finite number"))
    }

    /// A number, where it is there.
    pub(super) fn number_if_any(&self, key: &str) -> Result<Option<Number>, HfError> {
        self.if_any(&self.full(key), |_| self.number(key))
    }

    fn if_any<T>(
        &self,
        full: &str,
        read: impl FnOnce(&str) -> Result<T, HfError>,
    ) -> Result<Option<T>, HfError> {
        match self.metadata.contains(full) {
            true => read(full).map(Some),
            false => Ok(None),
        }
    }
}

/// The number of fewest digits that is this value in its precision. A converter rounded 1e-5 to 9.99999974e-6 for the file; whoever trains
/// on has to get 1e-5 back.
fn shortest(value: f64, single: bool) -> f64 {
    match single {
        true => (value as f32).to_string().parse().unwrap_or(value),
        false => value,
    }
}

#[cfg(test)]
mod tests {
    use super::shortest;

    #[test]
    fn single_precision_gets_its_digits_back() {
        for number in [1e-5, 1e-6, 1e-12, 10_000.0, 500_000.0, 0.1, 3.4e38] {
            assert_eq!(shortest(f64::from(number as f32), true), number);
        }
        assert_eq!(shortest(0.1, false), 0.1);
        assert!(shortest(f64::INFINITY, true).is_infinite());
        assert!(shortest(f64::NAN, true).is_nan());
    }
}
