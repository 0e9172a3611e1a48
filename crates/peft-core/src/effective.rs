//! The weight and the bias that a layer and its active adapters amount to.
//!
//! `W' = W + sum_i w_i (effective_i(W) - W)` with `W [d_in, d_out]`, and the same for the bias; merging writes them down, and
//! [`crate::Hosted`] runs by them.

use burn::tensor::Tensor;

use crate::adapter::AnyAdapter;
use crate::linear::AdaptedLinear;

/// Why an adapter has no effective weight over a layer without a bias.
const NEEDS_BIAS: &str = "it shifts the output by a bias, which this layer does not have, so that no single weight says the same";

impl AdaptedLinear {
    /// The effective weight over `weight`, shape `[d_in, d_out]`, which is the layer's own in any float type.
    ///
    /// # Errors
    /// The reason, when no single weight reproduces one of the adapters.
    pub(crate) fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let active: Vec<_> = self.active_adapters().collect();
        if let [(_, only, 1.0)] = active.as_slice() {
            return self.effective_weight_with(only, weight);
        }
        let mut sum = weight.clone();
        for (_, adapter, factor) in active {
            let change = self.effective_weight_with(adapter, weight.clone())? - weight.clone();
            sum = sum + times(change, factor);
        }
        Ok(sum)
    }

    /// The effective weight over `weight` with one adapter, active or not.
    ///
    /// # Errors
    /// The reason, when no single weight reproduces the adapter here.
    pub(crate) fn effective_weight_with(
        &self,
        adapter: &AnyAdapter,
        weight: Tensor<2>,
    ) -> Result<Tensor<2>, &'static str> {
        if self.bias.is_none() && adapter.needs_bias() {
            return Err(NEEDS_BIAS);
        }
        adapter.effective_weight(weight)
    }

    /// The effective bias over `bias`, shape `[d_out]`, which is the layer's own.
    pub(crate) fn effective_bias(&self, bias: Tensor<1>) -> Tensor<1> {
        let changes = self.active_adapters().map(|(_, adapter, factor)| {
            times(adapter.effective_bias(bias.clone()) - bias.clone(), factor)
        });
        changes.fold(bias.clone(), |sum, change| sum + change)
    }
}

fn times<const D: usize>(change: Tensor<D>, factor: f64) -> Tensor<D> {
    if factor == 1.0 {
        change
    } else {
        change.mul_scalar(factor)
    }
}
