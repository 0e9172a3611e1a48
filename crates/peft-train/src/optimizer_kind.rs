//! The optimizers that there are.

use serde::{Deserialize, Serialize};

/// What turns gradients into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay and bias correction (Loshchilov and Hutter 2017, arXiv 1711.05101).
    #[default]
    AdamW,
    /// Gradient descent, with momentum where that is above 0; weight decay is added to the gradient, as in `torch.optim.SGD`.
    Sgd,
}
