//! Adapter folders of mlx-lm to and from those of PEFT, bit for bit where both can say the same.
//!
//! ```text
//! mlx-lm   adapters.safetensors       P.lora_a [d_in, r], P.lora_b [r, d_out], for DoRA P.m [d_out]
//!          adapter_config.json        fine_tune_type, num_layers, lora_parameters {rank, scale, dropout, keys}
//! PEFT     adapter_model.safetensors  base_model.model.P.lora_A.weight [r, d_in], .lora_B.weight [d_out, r], .lora_magnitude_vector [d_out]
//!          adapter_config.json        r, lora_alpha, ...
//! ```
//!
//! Factors are transposed and keep their format (BF16 stays BF16); `scale = alpha / r`. Both compute `W x + scale B A x`, and for DoRA both
//! scale the rows of `W + scale B A` to the norms `m`. To PEFT and back gives the same tensors. What mlx-lm cannot say:
//!
//! - ranks that differ between modules: the smaller pairs are filled with zeros, which changes no update ([`MlxNote::Padded`]);
//! - scales that differ between modules: B is multiplied by the quotient ([`MlxNote::Scaled`]), in single precision;
//! - rsLoRA: its scale is a number like any other, and comes back from mlx-lm as `alpha = scale r` without rsLoRA;
//! - saved heads and biases, experts (three dimensions), embeddings (PEFT has other names and shapes for them): an error.
//!
//! mlx-lm adapts the modules whose names within a block are among `keys` in the *last* `num_layers` blocks, and those whose whole names are
//! among them. How many blocks the base has does not follow from an adapter, so the keys written here are whole names: exactly the modules
//! that have tensors are adapted, whichever blocks they are in. Reading goes by the tensors, not by the keys.
//!
//! Layout and formulas are those of `mlx_lm/tuner/{lora,dora,utils}.py`.

mod config;
mod error;
mod from_peft;
mod to_peft;

use peft_format::file::HostTensor;
pub use peft_format::file::MLX_TENSOR_FILE;

pub use error::MlxError;
pub use from_peft::from_peft;
pub use to_peft::to_peft;

/// Something that a folder of mlx-lm says in another way.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MlxNote {
    /// A pair was filled with zeros to the rank of the others.
    Padded {
        /// Path of the module.
        site: String,
        /// Its rank.
        from: usize,
        /// The rank of all.
        to: usize,
    },
    /// B was multiplied by `from / to`.
    Scaled {
        /// Path of the module.
        site: String,
        /// Its scale.
        from: f64,
        /// The scale of all.
        to: f64,
    },
    /// The configuration has an alpha, which mlx-lm ignores today and its versions of 2024 multiplied into the scale.
    Alpha {
        /// The alpha.
        alpha: f64,
        /// The scale that was taken, as mlx-lm does today.
        scale: f64,
        /// The scale of the old versions, `scale alpha / r`.
        old: f64,
    },
}

/// What was converted.
#[derive(Debug, Clone, PartialEq)]
pub struct MlxReport {
    /// Whether the adapter is one of DoRA.
    pub dora: bool,
    /// Paths of the modules.
    pub sites: Vec<String>,
    /// Rank of all pairs in the folder of mlx-lm.
    pub rank: usize,
    /// Scale of all pairs in the folder of mlx-lm.
    pub scale: f64,
    /// What is said in another way.
    pub notes: Vec<MlxNote>,
}

/// A tensor of two dimensions with rows and columns exchanged, in the same format.
fn transposed(tensor: &HostTensor) -> HostTensor {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
    let from = |at: usize| tensor.data[(at % rows) * columns + at / rows];
    HostTensor {
        shape: vec![columns, rows],
        data: (0..rows * columns).map(from).collect(),
        stored: tensor.stored,
    }
}
