//! The metadata of a file: values by key, and access by type.

use indexmap::IndexMap;

use crate::near::near;
use crate::{Array, Strings, Value};

/// Why a metadata entry is not what was asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// There is no such key.
    #[error("the metadata has no `{key}`, which should be {expected}{}", near.as_ref().map_or(String::new(), |near| format!("; it has `{near}`")))]
    Missing {
        /// The key.
        key: String,
        /// What it should hold.
        expected: &'static str,
        /// The key of the file that is most like it.
        near: Option<String>,
    },
    /// The value is of another type, or too large or small for the one that was asked for.
    #[error("`{key}` must be {expected}, found {found}")]
    Type {
        /// The key.
        key: String,
        /// What it should hold.
        expected: &'static str,
        /// The type, with the value of what is short.
        found: String,
    },
}

/// The metadata of a file, in its order.
///
/// Getters take any type of the file in which the value fits: `u64` reads every kind of integer, `f64` both kinds of floating-point
/// numbers. Arrays are borrowed in their own type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: IndexMap<String, Value>,
}

impl Metadata {
    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self.entries.iter();
        entries.map(|(key, value)| (key.as_str(), value))
    }

    /// Whether there is such a key.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of a key, whatever its type.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// Adds an entry or replaces its value; says whether it was there.
    pub(crate) fn insert(&mut self, key: String, value: Value) -> bool {
        self.entries.insert(key, value).is_some()
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn text(&self, key: &str) -> Result<&str, MetadataError> {
        self.typed(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Yes or no.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn bool(&self, key: &str) -> Result<bool, MetadataError> {
        self.typed(key, "a bool", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// An integer of any type that is not negative.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn u64(&self, key: &str) -> Result<u64, MetadataError> {
        self.typed(key, "an integer from 0 to 2^64 - 1", |value| {
            value.integer()?.try_into().ok()
        })
    }

    /// An integer of any type.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn i64(&self, key: &str) -> Result<i64, MetadataError> {
        self.typed(key, "an integer from -2^63 to 2^63 - 1", |value| {
            value.integer()?.try_into().ok()
        })
    }

    /// An integer of any type that fits in 32 bits and is not negative.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn u32(&self, key: &str) -> Result<u32, MetadataError> {
        self.typed(key, "an integer from 0 to 2^32 - 1", |value| {
            value.integer()?.try_into().ok()
        })
    }

    /// A floating-point number of either precision.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn f64(&self, key: &str) -> Result<f64, MetadataError> {
        self.typed(key, "a floating-point number", |value| match value {
            Value::F32(value) => Some((*value).into()),
            Value::F64(value) => Some(*value),
            _ => None,
        })
    }

    /// A number of single precision.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn f32(&self, key: &str) -> Result<f32, MetadataError> {
        self.typed(key, "a number of type f32", |value| match value {
            Value::F32(value) => Some(*value),
            _ => None,
        })
    }

    /// An array of any type.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn array(&self, key: &str) -> Result<&Array, MetadataError> {
        self.items(key, "an array", Some)
    }

    /// An array of texts.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn texts(&self, key: &str) -> Result<&Strings, MetadataError> {
        self.items(key, "an array of texts", |array| match array {
            Array::Text(texts) => Some(texts),
            _ => None,
        })
    }

    /// An array of numbers of single precision.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn f32s(&self, key: &str) -> Result<&[f32], MetadataError> {
        self.items(key, "an array of f32", |array| match array {
            Array::F32(values) => Some(values.as_slice()),
            _ => None,
        })
    }

    /// An array of 32-bit integers, such as the types of tokens.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn i32s(&self, key: &str) -> Result<&[i32], MetadataError> {
        self.items(key, "an array of i32", |array| match array {
            Array::I32(values) => Some(values.as_slice()),
            _ => None,
        })
    }

    /// An array of integers of any type, or one integer: what can differ from layer to layer is stored as either.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn integers(&self, key: &str) -> Result<Vec<i64>, MetadataError> {
        fn all<T: Copy + TryInto<i64>>(values: &[T]) -> Option<Vec<i64>> {
            values
                .iter()
                .map(|value| (*value).try_into().ok())
                .collect()
        }
        let expected = "an integer or an array of integers from -2^63 to 2^63 - 1";
        self.typed(key, expected, |value| match value {
            Value::Array(Array::U8(values)) => all(values),
            Value::Array(Array::I8(values)) => all(values),
            Value::Array(Array::U16(values)) => all(values),
            Value::Array(Array::I16(values)) => all(values),
            Value::Array(Array::U32(values)) => all(values),
            Value::Array(Array::I32(values)) => all(values),
            Value::Array(Array::U64(values)) => all(values),
            Value::Array(Array::I64(values)) => all(values),
            single => Some(vec![single.integer()?.try_into().ok()?]),
        })
    }

    fn items<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        read: impl Fn(&'a Array) -> Option<T>,
    ) -> Result<T, MetadataError> {
        self.typed(key, expected, |value| match value {
            Value::Array(array) => read(array),
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, MetadataError> {
        let Some(value) = self.get(key) else {
            return Err(MetadataError::Missing {
                key: key.to_owned(),
                expected,
                near: near(key, self.entries.keys().map(String::as_str)),
            });
        };
        read(value).ok_or_else(|| MetadataError::Type {
            key: key.to_owned(),
            expected,
            found: value.to_string(),
        })
    }
}
