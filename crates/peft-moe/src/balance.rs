//! Losses of a router of its own: off by default, as in the published recipe.
//!
//! ```text
//! balance = experts * sum_i f_i P_i     f_i the share of choices that fell on expert i, P_i its mean probability (Fedus et al. 2021,
//!                                       Switch Transformers, arXiv 2101.03961); 1 where all are used alike
//! z       = mean (log sum_i e^(l_i))^2  l the logits (Zoph et al. 2022, ST-MoE, arXiv 2202.08906)
//! ```
//!
//! Rows of padding count nothing.

use burn::tensor::{Bool, IndexingUpdateOp, Tensor};

use crate::router::Routed;

/// How much of either loss is added to the task's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct RouterLoss {
    pub(crate) balance: f64,
    pub(crate) z: f64,
}

impl RouterLoss {
    /// The loss of one router, shape `[1]`, 0 where all rows are padding; `None` where neither is asked for or there is no row.
    pub(crate) fn of(
        self,
        routed: &Routed,
        padding: Option<&Tensor<2, Bool>>,
    ) -> Option<Tensor<1>> {
        let rows = routed.logits.dims()[0];
        if rows == 0 || self.balance == 0.0 && self.z == 0.0 {
            return None;
        }
        let real = real_rows(routed, padding);
        let balance = (self.balance != 0.0).then(|| balance(routed, &real) * self.balance);
        let z = (self.z != 0.0).then(|| z(routed, &real) * self.z);
        balance.into_iter().chain(z).reduce(|a, b| a + b)
    }
}

/// What a row counts, shape `[rows, 1]`: they add up to 1, or are all 0 where every row is padding.
fn real_rows(routed: &Routed, padding: Option<&Tensor<2, Bool>>) -> Tensor<2> {
    let ones = routed.logits.clone().narrow(1, 0, 1).ones_like();
    let Some(padding) = padding else {
        let rows = ones.dims()[0];
        return ones / rows as f64;
    };
    let real = ones.mask_fill(padding.clone(), 0.0);
    // Counted on the device: nobody waits for the number.
    let count = real.clone().sum_dim(0).clamp_min(1.0);
    real / count
}

fn balance(routed: &Routed, real: &Tensor<2>) -> Tensor<1> {
    let [_, experts] = routed.logits.dims();
    let [_, top_k] = routed.chosen.dims();
    let each = (real.clone() / top_k as f64).repeat_dim(1, top_k);
    let choices =
        routed
            .logits
            .zeros_like()
            .scatter(1, routed.chosen.clone(), each, IndexingUpdateOp::Add);
    let shares = choices.sum_dim(0);
    let means = (routed.probabilities.clone() * real.clone()).sum_dim(0);
    (shares * means).sum() * experts as f64
}

fn z(routed: &Routed, real: &Tensor<2>) -> Tensor<1> {
    let largest = routed.logits.clone().max_dim(1);
    let sums = (routed.logits.clone() - largest.clone()).exp().sum_dim(1);
    let log_sums = sums.log() + largest;
    (log_sums.clone() * log_sums * real.clone()).sum()
}
