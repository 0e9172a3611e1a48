//! How much of the gradient an expert gets.
//!
//! An expert's output `e_i` enters the mixture as `sum_i g_i e_i`. Its gradient therefore carries the gate `g_i` once from the backward
//! pass, and what it changes is multiplied by `g_i` again in the next forward pass: an expert that a token hardly uses learns `g_i^2` of
//! what LoRA alone would. Giving the gradient another factor `c_i` in place of `g_i` mends that; the output stays what it is:
//!
//! ```text
//! out_i = c_i e_i + (g_i - c_i) stop(e_i)        c_i a constant, stop(..) without a gradient
//! d out_i / d e_i = c_i,  d out_i / d g_i = e_i
//! ```

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Which factor `c_i` the gradient of an expert's output gets in place of its gate `g_i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateRescale {
    /// `g_i`: the true gradient.
    #[default]
    None,
    /// `sqrt(g_i)`, as published: what the step changes in the output then carries `g_i^(3/2)`.
    SqrtDetach,
    /// 1, as the paper's theory asks for: what the step changes carries `g_i`.
    Theory,
}

impl GateRescale {
    /// The factors of the gradients for `gates [rows, top_k]`, constants of the same shape.
    #[must_use]
    pub fn credits(self, gates: Tensor<2>) -> Tensor<2> {
        let tracked = gates.is_autodiff();
        let gates = gates.without_autodiff();
        let credits = match self {
            Self::None => gates,
            Self::SqrtDetach => gates.sqrt(),
            Self::Theory => gates.ones_like(),
        };
        if tracked {
            Tensor::from_inner(credits)
        } else {
            credits
        }
    }
}
