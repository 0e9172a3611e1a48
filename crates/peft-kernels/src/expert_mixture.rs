//! A mixture of low-rank experts: every row chooses `k` of `N` pairs of factors, and their weighted outputs are added.
//!
//! With `g` the gradient of `y` and `u_tj = g_t B_e^T`:
//!
//! ```text
//! y_t = sum_j w_tj h_tj B_e,   h_tj = drop_e(x_t) A_e,   e = chosen_tj
//!
//! dw_tj = h_tj . u_tj,   dB_e = sum c_tj h_tj^T g_t
//! dA_e = sum drop_e(x_t)^T c_tj u_tj,   dx_t = sum_j drop_e(c_tj u_tj A_e^T)
//! ```
//!
//! The credits `c` stand in for the weights where a gradient goes through an expert.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use crate::dropout::{derive_seed, dropout};

#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod masks;
#[cfg(feature = "flex")]
mod products;
#[cfg(feature = "flex")]
mod routes;
#[cfg(test)]
mod tests;
#[cfg(feature = "flex")]
mod tiles;

/// The factors of all experts side by side, of one rank `r`.
#[derive(Clone, Debug)]
pub struct Experts {
    /// `[d_in, count r]`; those of expert `e` are the columns from `e r` on.
    pub a: Tensor<2>,
    /// `[count r, d_out]`; those of expert `e` are the rows from `e r` on.
    pub b: Tensor<2>,
    /// The number of experts.
    pub count: usize,
}

/// Which experts each row uses, and how much.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Factors of the experts' outputs, `[rows, k]`.
    pub weights: Tensor<2>,
    /// What the gradients of the experts' outputs are multiplied by in place of the weights, `[rows, k]`; constants.
    pub credits: Tensor<2>,
    /// The experts, `[rows, k]`: below their number, and different within a row.
    pub chosen: Tensor<2, Int>,
}

/// `y_t = sum_j w_tj (drop_e(x_t) A_e) B_e` over the experts `e` that row `t` chose.
///
/// The gradient of a weight is that of this function. Those of `x`, `a` and `b` have the credit of a choice in the place of its
/// weight: where the credits are the weights, they are those of this function too.
///
/// `dropout` is a probability and a seed: every expert sees a dropped copy of `x` of its own, by the seed that [`derive_seed`] has for
/// its index.
///
/// The fused path (f32 on flex) computes the chosen experts alone: its time grows with `k`, and hardly with the number of experts. It
/// keeps for the backward its inputs and the `k r` values per row between the factors. Elsewhere this is [`expert_mixture_dense`],
/// which is also there to be chosen where `k` is large.
///
/// # Shapes
/// `x [rows, d_in]`; output `[rows, d_out]`.
///
/// # Panics
/// When the shapes disagree; on the fused path also when a row chooses an expert that there is not.
#[must_use]
pub fn expert_mixture(
    x: Tensor<2>,
    experts: Experts,
    routing: Routing,
    dropout: Option<(f64, u64)>,
) -> Tensor<2> {
    assert_shapes(&x, &experts, &routing);
    #[cfg(feature = "flex")]
    if let Some(y) = flex::expert_mixture(&x, &experts, &routing, dropout) {
        return y;
    }
    expert_mixture_dense(x, experts, routing, dropout)
}

/// [`expert_mixture`] as a composition of Burn operations that computes every expert for every row: the reference, and what runs where
/// the fused path does not apply.
///
/// Its time grows with the number of experts whatever `k` is, but two wide matrix products take most of it: on flex, for training
/// without dropout, it is the faster one from about `k = N / 2` on. Dropout costs it a copy of `x` and a narrow product for each expert,
/// so that it gains nothing there. On flex the masks of both are the same where `d_in` is a multiple of 32.
///
/// # Panics
/// When the shapes disagree.
#[must_use]
pub fn expert_mixture_dense(
    x: Tensor<2>,
    experts: Experts,
    routing: Routing,
    dropout: Option<(f64, u64)>,
) -> Tensor<2> {
    let rank = assert_shapes(&x, &experts, &routing);
    let Experts { a, b, count } = experts;
    let spread = |values: Tensor<2>| spread(values, routing.chosen.clone(), count, rank);
    let weights = spread(routing.weights);
    let hidden = all_hidden(x, a, count, dropout);
    if !(hidden.is_autodiff() || b.is_autodiff() || weights.is_autodiff()) {
        return (hidden * weights).matmul(b);
    }
    let credits = spread(routing.credits.without_autodiff());
    // Constants: the values alone.
    let fixed = hidden.clone().without_autodiff();
    let fixed_weights = weights.clone().without_autodiff();
    let rest = (fixed_weights.clone() - credits.clone()) * fixed.clone();
    let rest = rest.matmul(b.clone().without_autodiff());
    let credited = hidden * credits + (weights - fixed_weights) * fixed;
    credited.matmul(b) + rest
}

/// `drop_e(x) A_e` of every expert, `[rows, count r]`.
fn all_hidden(
    x: Tensor<2>,
    a: Tensor<2>,
    count: usize,
    probability_and_seed: Option<(f64, u64)>,
) -> Tensor<2> {
    let Some((probability, seed)) = probability_and_seed.filter(|(p, _)| *p > 0.0) else {
        return x.matmul(a);
    };
    let parts = a.chunk(count, 1).into_iter().zip(0..);
    let parts = parts
        .map(|(a, expert)| dropout(x.clone(), probability, derive_seed(seed, expert)).matmul(a));
    Tensor::cat(parts.collect(), 1)
}

/// One value per row and expert, 0 where the expert is not chosen, repeated for every rank: `[rows, count rank]`.
fn spread(values: Tensor<2>, chosen: Tensor<2, Int>, count: usize, rank: usize) -> Tensor<2> {
    let [rows, _] = values.dims();
    Tensor::<2>::zeros([rows, count], (&values.device(), values.dtype()))
        .scatter(1, chosen, values, IndexingUpdateOp::Add)
        .unsqueeze_dim::<3>(2)
        .repeat_dim(2, rank)
        .reshape([rows, count * rank])
}

/// The rank of the experts, once all shapes are found to agree.
fn assert_shapes(x: &Tensor<2>, experts: &Experts, routing: &Routing) -> usize {
    let Experts { a, b, count } = experts;
    let ([rows, d_in], [a_in, width]) = (x.dims(), a.dims());
    assert!(
        a_in == d_in && b.dims()[0] == width && *count > 0 && width > 0 && width % count == 0,
        "expert_mixture: x has rows of {d_in}, a {:?}, b {:?}, for {count} experts; all must agree",
        a.dims(),
        b.dims(),
    );
    let weights = routing.weights.dims();
    assert!(
        weights[0] == rows && routing.credits.dims() == weights && routing.chosen.dims() == weights,
        "expert_mixture: x has {rows} rows, weights {weights:?}, credits {:?}, chosen {:?}; all must agree",
        routing.credits.dims(),
        routing.chosen.dims(),
    );
    width / count
}
