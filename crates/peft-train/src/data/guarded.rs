//! Calls of the tokenizer library, which panics where a file contradicts itself: that is an error as any other.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use tokenizers::Tokenizer;

use crate::TrainError;

/// What the library makes.
///
/// # Errors
/// [`TrainError::Tokenizer`] with what it says, or that it gave up.
pub(super) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, tokenizers::Error>,
) -> Result<T, TrainError> {
    let problem = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(made)) => return Ok(made),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its parts contradict one another".to_owned(),
    };
    Err(TrainError::Tokenizer {
        path: path.to_path_buf(),
        message: problem,
    })
}

/// The tokenizer of a file's bytes.
///
/// # Errors
/// [`TrainError::Tokenizer`].
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Tokenizer, TrainError> {
    guarded(path, || {
        // Of some parts the library expects that they are JSON.
        serde_json::from_slice::<Json>(bytes)?;
        let tokenizer = Tokenizer::from_bytes(bytes);
        tokenizer.map_err(|error| format!("expected a Hugging Face tokenizer: {error}").into())
    })
}

/// Any JSON value, looked at down to the letters of its texts, which `IgnoredAny` passes over, and kept nowhere.
struct Json;

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Json {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_panics_at_is_an_error() {
        let path = Path::new("tokenizer.json");
        for text in [
            "{",
            "{}",
            "{\"decoder\": {\"type\": \"\u{1}\"}}",
            r#"{"a": "\ud800"}"#,
            "[1]",
        ] {
            let error = parse(path, text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("tokenizer.json"), "{error}");
        }
        let error = guarded::<()>(path, || panic!("as the library does")).unwrap_err();
        assert!(error.to_string().contains("contradict"), "{error}");
    }
}
