//! The router: which experts a token goes to, and how much of each.
//!
//! ```text
//! p = softmax(x R),  chosen = the top_k largest of p,  g_i = p_i / sum of the chosen p
//! ```
//!
//! softmax over all experts first, choice second, normalisation third; the gates are those of a softmax over the chosen logits.

use burn::tensor::{Int, Tensor};
use peft_kernels::softmax_last;

/// What the router says of every row.
#[derive(Debug)]
pub(crate) struct Routed {
    /// `x R`, shape `[rows, experts]`.
    pub(crate) logits: Tensor<2>,
    /// Their softmax, shape `[rows, experts]`.
    pub(crate) probabilities: Tensor<2>,
    /// The experts of each row, the most probable first, shape `[rows, top_k]`.
    pub(crate) chosen: Tensor<2, Int>,
    /// Their shares, which add up to 1 in each row, shape `[rows, top_k]`.
    pub(crate) gates: Tensor<2>,
}

/// Routes rows by `logits [rows, experts]`, each to `top_k` experts.
pub(crate) fn route(logits: Tensor<2>, top_k: usize) -> Routed {
    let probabilities = softmax_last(logits.clone());
    let (_, chosen) = probabilities
        .clone()
        .without_autodiff()
        .topk_with_indices(top_k, 1);
    let chosen = if probabilities.is_autodiff() {
        Tensor::from_inner(chosen)
    } else {
        chosen
    };
    let shares = probabilities.clone().gather(1, chosen.clone());
    let gates = shares.clone() / shares.sum_dim(1);
    Routed {
        logits,
        probabilities,
        chosen,
        gates,
    }
}
