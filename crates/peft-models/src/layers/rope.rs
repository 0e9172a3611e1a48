//! Rotary position embeddings (RoFormer, Su et al. 2021, arXiv 2104.09864), with the scalings of long-context checkpoints.
//!
//! With `theta_j = position * f_j`, `f_j = base^(-2 j / d)`, `j = 0 .. d/2`, each pair `(x_j, x_{j + d/2})` of a head turns by
//! `theta_j`: `y_j = x_j cos - x_{j + d/2} sin`, `y_{j + d/2} = x_{j + d/2} cos + x_j sin`. The pairing is that of Hugging Face's
//! checkpoints, whose projections are permuted for it.

use std::f64::consts::TAU;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use peft_core::cast;
use peft_kernels::rotary;
use serde_json::{Map, Value};

use crate::error::ModelError;
use crate::hf::ModelConfig;

/// The frequencies of a head's pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    frequencies: Vec<f32>,
}

/// Cosines and sines of every position of a batch, shape `[batch or 1, 1, seq, d_head / 2]` each.
#[derive(Module, Debug)]
pub struct Rotation {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rope {
    /// The frequencies that a configuration asks for, for heads of width `d_head`.
    ///
    /// Reads `rope_theta` with `rope_scaling`, or `rope_parameters`, which newer files have in their place. Scalings: none, `linear`
    /// (all frequencies divided by `factor`) and `llama3` (low frequencies divided, high ones kept, a ramp between).
    ///
    /// # Errors
    /// [`ModelError::UnsupportedOption`] naming another type of scaling, [`ModelError::Field`] for what is malformed.
    pub fn from_config(config: &ModelConfig, d_head: usize) -> Result<Self, ModelError> {
        let object = |field: &str| config.raw().get(field).and_then(Value::as_object);
        let parameters = object("rope_parameters");
        let scaling = Scaling {
            config,
            fields: parameters.or_else(|| object("rope_scaling")),
        };
        let base = match scaling.fields.and_then(|fields| fields.get("rope_theta")) {
            Some(_) => scaling.number("rope_theta")?,
            None => config.f64_or("rope_theta", 10_000.0)?,
        };
        if !d_head.is_multiple_of(2) || !base.is_finite() || base <= 1.0 {
            return Err(ModelError::Field {
                path: config.path().to_path_buf(),
                field: "rope_theta".to_owned(),
                expected: "a number larger than 1, with heads of an even width",
                found: format!("{base} with heads of width {d_head}"),
            });
        }
        let width = d_head as f64;
        let plain = (0..d_head / 2).map(|j| base.powf(-2.0 * j as f64 / width));
        let frequencies = scaling.apply(plain.collect())?;
        Ok(Self {
            frequencies: frequencies.into_iter().map(|f| f as f32).collect(),
        })
    }

    /// The rotation of these positions: one list per row of the batch, or one for all rows.
    #[must_use]
    pub fn rotation(&self, positions: &[Vec<usize>], device: &Device) -> Rotation {
        let (rows, seq) = (positions.len(), positions.first().map_or(0, Vec::len));
        let angles: Vec<f32> = positions
            .iter()
            .flatten()
            .flat_map(|at| self.frequencies.iter().map(move |f| *at as f32 * f))
            .collect();
        let shape = [rows, 1, seq, self.frequencies.len()];
        let tensor = |f: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|angle| f(*angle)).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Rotation {
            cos: tensor(f32::cos),
            sin: tensor(f32::sin),
        }
    }
}

impl Rotation {
    /// Turns queries or keys `x [batch, heads, seq, d_head]`.
    #[must_use]
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let angles = |values: &Tensor<4>| cast(values.clone(), x.dtype());
        rotary(x.clone(), angles(&self.cos), angles(&self.sin))
    }
}

/// The scaling that a file asks for.
struct Scaling<'a> {
    config: &'a ModelConfig,
    fields: Option<&'a Map<String, Value>>,
}

impl Scaling<'_> {
    fn apply(&self, frequencies: Vec<f64>) -> Result<Vec<f64>, ModelError> {
        let Some(fields) = self.fields else {
            return Ok(frequencies);
        };
        // `type` is the name of old files.
        let kind = fields.get("rope_type").or_else(|| fields.get("type"));
        match kind.and_then(Value::as_str).unwrap_or("default") {
            "default" => Ok(frequencies),
            "linear" => {
                let factor = self.number("factor")?;
                Ok(frequencies.into_iter().map(|f| f / factor).collect())
            }
            "llama3" => self.llama3(frequencies),
            other => Err(ModelError::UnsupportedOption {
                path: self.config.path().to_path_buf(),
                option: "rope_scaling.rope_type".to_owned(),
                value: other.to_owned(),
                supported: "default, linear, llama3",
            }),
        }
    }

    /// Llama 3's: wavelengths above `original / low_freq_factor` are stretched by `factor`, those below `original /
    /// high_freq_factor` stay, and those between are interpolated.
    fn llama3(&self, frequencies: Vec<f64>) -> Result<Vec<f64>, ModelError> {
        let factor = self.number("factor")?;
        let (low, high) = (
            self.number("low_freq_factor")?,
            self.number("high_freq_factor")?,
        );
        let original = self.number("original_max_position_embeddings")?;
        if low >= high {
            return Err(self.malformed("low_freq_factor", "a number below high_freq_factor"));
        }
        let stretched = |f: f64| {
            let turns = original * f / TAU;
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            (1.0 - kept) * f / factor + kept * f
        };
        Ok(frequencies.into_iter().map(stretched).collect())
    }

    /// A number above 0 that must be there.
    fn number(&self, field: &str) -> Result<f64, ModelError> {
        let value = self.fields.and_then(|fields| fields.get(field)?.as_f64());
        value
            .filter(|value| value.is_finite() && *value > 0.0)
            .ok_or_else(|| self.malformed(field, "a number larger than 0"))
    }

    fn malformed(&self, field: &str, expected: &'static str) -> ModelError {
        let value = self.fields.and_then(|fields| fields.get(field));
        ModelError::Field {
            path: self.config.path().to_path_buf(),
            field: format!("rope_scaling.{field}"),
            expected,
            found: value.map_or_else(|| "nothing".to_owned(), ToString::to_string),
        }
    }
}
