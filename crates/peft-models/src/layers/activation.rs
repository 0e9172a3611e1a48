//! Activation functions by their `transformers` names.

use burn::tensor::{Tensor, activation};

use crate::error::ModelError;
use crate::hf::ModelConfig;

/// A pointwise nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * Phi(x)` with the error function.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x * sigmoid(x)`.
    Silu,
    /// `tanh(x)`.
    Tanh,
}

impl Activation {
    /// Reads the activation named by `field` of a configuration (`default` when absent).
    ///
    /// # Errors
    /// [`ModelError::UnsupportedOption`] with the name, or [`ModelError::Field`].
    pub fn from_config(
        config: &ModelConfig,
        field: &str,
        default: &str,
    ) -> Result<Self, ModelError> {
        let name = config.str_or(field, default)?;
        match name {
            "gelu" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Self::GeluTanh),
            "relu" => Ok(Self::Relu),
            "silu" | "swish" => Ok(Self::Silu),
            _ => Err(ModelError::UnsupportedOption {
                path: config.path().to_path_buf(),
                option: field.to_owned(),
                value: name.to_owned(),
                supported: "gelu, gelu_new, gelu_pytorch_tanh, relu, silu",
            }),
        }
    }

    /// Applies the function to every element.
    #[must_use]
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu => peft_kernels::gelu(x),
            Self::GeluTanh => peft_kernels::gelu_tanh(x),
            Self::Relu => activation::relu(x),
            Self::Silu => activation::silu(x),
            Self::Tanh => activation::tanh(x),
        }
    }
}
