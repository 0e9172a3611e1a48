//! What a configuration says about rotary positions.

use serde_json::{Map, Value};

use super::{Frequencies, Rope};
use crate::error::ModelError;
use crate::hf::ModelConfig;

/// The fields of one kind of layer: `rope_scaling`, or `rope_parameters`, which newer files have in its place.
#[derive(Debug, Clone, Copy)]
pub struct RopeFields<'a> {
    pub(super) config: &'a ModelConfig,
    fields: Option<&'a Map<String, Value>>,
    /// Path of the fields, for messages.
    path: &'static str,
    /// The base where the fields have none.
    base: Option<f64>,
}

impl<'a> RopeFields<'a> {
    /// Those of all layers alike, with `rope_theta` as a field of the configuration's own where the fields have none, else `default`.
    ///
    /// # Errors
    /// [`ModelError::Field`] for a base that is no number.
    pub fn of(config: &'a ModelConfig, default: f64) -> Result<Self, ModelError> {
        let object = |field: &'static str| Some((field, config.raw().get(field)?.as_object()?));
        let found = object("rope_parameters").or_else(|| object("rope_scaling"));
        Ok(Self {
            config,
            fields: found.map(|(_, fields)| fields),
            path: found.map_or("rope_scaling", |(path, _)| path),
            base: Some(config.f64_or("rope_theta", default)?),
        })
    }

    /// Those of the layers of one type, `sliding_attention` or `full_attention`, where a file lists parameters by type.
    #[must_use]
    pub fn of_type(config: &'a ModelConfig, layer_type: &'static str) -> Option<Self> {
        let by_type = config.raw().get("rope_parameters")?.as_object()?;
        Some(Self {
            config,
            fields: Some(by_type.get(layer_type)?.as_object()?),
            path: "rope_parameters",
            base: None,
        })
    }

    /// Plain frequencies of this base, whatever the file's scaling.
    #[must_use]
    pub fn unscaled(config: &'a ModelConfig, base: f64) -> Self {
        Self {
            config,
            fields: None,
            path: "rope_scaling",
            base: Some(base),
        }
    }

    /// The frequencies for heads of width `d_head`, of which the file may have `partial_rotary_factor` turned.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedOption`] naming an unknown type of scaling, [`ModelError::Field`] for what is malformed.
    pub fn rope(&self, d_head: usize) -> Result<Rope, ModelError> {
        let part = match self.number_if_any("partial_rotary_factor")? {
            Some(part) => part,
            None => self.config.f64_or("partial_rotary_factor", 1.0)?,
        };
        let base = match (self.number_if_any("rope_theta")?, self.base) {
            (Some(base), _) | (None, Some(base)) => base,
            (None, None) => return Err(self.malformed("rope_theta", "a number larger than 1")),
        };
        let width = (d_head as f64 * part) as usize;
        let fits = part > 0.0 && part <= 1.0 && width > 0 && width.is_multiple_of(2);
        if !fits || !base.is_finite() || base <= 1.0 {
            return Err(ModelError::Field {
                path: self.config.path().to_path_buf(),
                field: "rope_theta".to_owned(),
                expected: "a number larger than 1, with an even number of values of each head turned",
                found: format!("{base} with {part} of heads of width {d_head}"),
            });
        }
        self.scaled(base, width)
    }

    /// The type of the scaling; `type` is its name in old files.
    pub(crate) fn kind(&self) -> &'a str {
        let kind = |name| self.fields.and_then(|fields| fields.get(name)?.as_str());
        kind("rope_type")
            .or_else(|| kind("type"))
            .unwrap_or("default")
    }

    /// A number above 0 that must be there.
    pub(super) fn number(&self, field: &str) -> Result<f64, ModelError> {
        self.number_if_any(field)?
            .ok_or_else(|| self.malformed(field, "a number larger than 0"))
    }

    /// A number above 0, if there is one.
    pub(super) fn number_if_any(&self, field: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        let number = value.as_f64();
        let number = number.filter(|value| value.is_finite() && *value > 0.0);
        number
            .map(Some)
            .ok_or_else(|| self.malformed(field, "a number larger than 0"))
    }

    /// A factor for each of so many frequencies.
    pub(super) fn factors(&self, field: &str, count: usize) -> Result<Vec<f64>, ModelError> {
        let values = self.value(field).and_then(Value::as_array);
        let numbers = values.map(|values| values.iter().map(Value::as_f64).collect());
        let numbers: Option<Vec<f64>> = numbers.flatten();
        numbers
            .filter(|numbers| numbers.len() == count && numbers.iter().all(|number| *number > 0.0))
            .ok_or_else(|| {
                self.malformed(
                    field,
                    "a number larger than 0 for every frequency of a head",
                )
            })
    }

    /// `true`, `false`, or what stands for nothing.
    pub(super) fn flag_or(&self, field: &str, default: bool) -> Result<bool, ModelError> {
        self.value(field).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.malformed(field, "true or false"))
        })
    }

    /// The length that the model was trained for before its context was stretched.
    pub(super) fn original_length(&self) -> Result<f64, ModelError> {
        const FIELD: &str = "original_max_position_embeddings";
        // Phi-3 has it outside the scaling, and that is what counts.
        if self.config.present(FIELD).is_some() {
            return Ok(self.config.positive(FIELD)? as f64);
        }
        match self.number_if_any(FIELD)? {
            Some(length) => Ok(length),
            None => Ok(self.config.positive("max_position_embeddings")? as f64),
        }
    }

    pub(crate) fn unsupported(&self, supported: &'static str) -> ModelError {
        ModelError::UnsupportedOption {
            path: self.config.path().to_path_buf(),
            option: format!("{}.rope_type", self.path),
            value: self.kind().to_owned(),
            supported,
        }
    }

    pub(super) fn malformed(&self, field: &str, expected: &'static str) -> ModelError {
        let found = self.value(field);
        ModelError::Field {
            path: self.config.path().to_path_buf(),
            field: format!("{}.{field}", self.path),
            expected,
            found: found.map_or_else(
                || "nothing".to_owned(),
                |value| value.to_string().chars().take(80).collect(),
            ),
        }
    }

    fn value(&self, field: &str) -> Option<&'a Value> {
        self.fields
            .and_then(|fields| fields.get(field))
            .filter(|value| !value.is_null())
    }
}

impl From<Frequencies> for Rope {
    fn from(frequencies: Frequencies) -> Self {
        Self {
            frequencies,
            magnitude: 1.0,
        }
    }
}
