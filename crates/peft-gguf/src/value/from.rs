//! Values of Rust's own types.

use super::{Array, Value};
use crate::Strings;

/// A conversion for each of the types.
macro_rules! from {
    ($($kind:ident $of:ty),*) => {$(
        impl From<$of> for Value {
            fn from(value: $of) -> Self {
                Self::$kind(value)
            }
        }

        impl From<Vec<$of>> for Value {
            fn from(values: Vec<$of>) -> Self {
                Self::Array(Array::$kind(values))
            }
        }
    )*};
}

from!(U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64, F32 f32, F64 f64, Bool bool);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Strings> for Value {
    fn from(texts: Strings) -> Self {
        Self::Array(Array::Text(texts))
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        texts.into_iter().collect::<Strings>().into()
    }
}

impl From<Vec<&str>> for Value {
    fn from(texts: Vec<&str>) -> Self {
        texts.into_iter().collect::<Strings>().into()
    }
}
