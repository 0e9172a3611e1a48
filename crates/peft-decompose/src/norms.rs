//! Norms of the columns and rows of `V = W + scale A B` without forming it.
//!
//! With `W [d_in, d_out]`, `A [d_in, rank]`, `B [rank, d_out]`:
//!
//! ```text
//! per output o:  sum_i c_i V_io^2 = sum_i c_i W_io^2 + sum_r B_ro (2 scale (Ac^T W)_ro + scale^2 (Ac^T A B)_ro),   Ac = c (.) A
//! per input i:   sum_o c_o V_io^2 = sum_o c_o W_io^2 + sum_r A_ir (2 scale (W Bc^T)_ir + scale^2 (A B Bc^T)_ir),   Bc = B (.) c
//! ```
//!
//! `c` are squared scales of the other side, 1 where nothing was scaled. A norm over the inputs of one output is the norm of
//! a row of the weight as Hugging Face stores it, and of a column of Burn's. Everything is f32 whatever the base's type.

use burn::tensor::{DType, FloatDType, Tensor};
use peft_core::{Factor, PeftError, Slot};
use peft_kernels::{Compute, product};
use serde::{Deserialize, Serialize};

/// A side of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Outputs: rows of the weight as Hugging Face stores it.
    Output,
    /// Inputs: columns of it.
    Input,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Input => "input",
        }
    }
}

/// Squared norms are clamped here, so that a norm is at least `1e-12`: a row or column of zeros divides nothing by zero,
/// and the square root keeps a finite slope.
const SMALLEST_SQUARE: f32 = 1e-24;

/// `W`, `A`, `B` and the scale of the product.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    /// Frozen weight, `[d_in, d_out]`, packed or in f32.
    pub(crate) weight: Factor,
    /// Down-projection, `[d_in, rank]`.
    pub(crate) a: Tensor<2>,
    /// Up-projection, `[rank, d_out]`.
    pub(crate) b: Tensor<2>,
    /// Factor of `A B`.
    pub(crate) scale: f64,
}

impl Sum {
    /// The same values, through which no gradient flows.
    pub(crate) fn detach(self) -> Self {
        Self {
            weight: self.weight,
            a: self.a.detach(),
            b: self.b.detach(),
            scale: self.scale,
        }
    }

    /// The values of the weight.
    fn values(&self) -> Tensor<2> {
        self.weight.clone().dense(&self.a.device())
    }

    /// `W + scale A B`, for merging and for the dense host.
    pub(crate) fn dense(&self) -> Tensor<2> {
        self.values() + self.a.clone().matmul(self.b.clone()).mul_scalar(self.scale)
    }

    /// Norm per output `[1, d_out]` or per input `[d_in, 1]`, given the squared norms of `W` alone.
    pub(crate) fn norms(&self, side: Side, of_weight: Tensor<2>) -> Tensor<2> {
        match side {
            Side::Output => self.outputs(self.a.clone().transpose(), of_weight),
            Side::Input => self.inputs(self.b.clone().transpose(), of_weight),
        }
    }

    /// Norm per output or per input after the other side was scaled: `scales [d_in, 1]` or `[1, d_out]`.
    pub(crate) fn scaled_norms(&self, side: Side, scales: &Tensor<2>) -> Tensor<2> {
        let of_weight = squares(&(self.values() * scales.clone()), side);
        let weights = square(scales.clone());
        match side {
            Side::Output => self.outputs((self.a.clone() * weights).transpose(), of_weight),
            Side::Input => self.inputs((self.b.clone() * weights).transpose(), of_weight),
        }
    }

    /// `left` is `A^T`, its columns scaled: `[rank, d_in]`.
    fn outputs(&self, left: Tensor<2>, of_weight: Tensor<2>) -> Tensor<2> {
        let cross = match self.weight.clone() {
            Factor::Dense(weight) => left.clone().matmul(weight),
            packed @ Factor::Packed(_) => exact(left.clone(), packed),
        };
        let own = left.matmul(self.a.clone()).matmul(self.b.clone());
        norm(of_weight + (self.b.clone() * self.change(cross, own)).sum_dim(0))
    }

    /// `right` is `B^T`, its rows scaled: `[d_out, rank]`.
    fn inputs(&self, right: Tensor<2>, of_weight: Tensor<2>) -> Tensor<2> {
        let cross = match &self.weight {
            Factor::Dense(weight) => weight.clone().matmul(right.clone()),
            packed @ Factor::Packed(_) => {
                exact(right.clone().transpose(), packed.transpose()).transpose()
            }
        };
        let own = self.a.clone().matmul(self.b.clone().matmul(right));
        norm(of_weight + (self.a.clone() * self.change(cross, own)).sum_dim(1))
    }

    fn change(&self, cross: Tensor<2>, own: Tensor<2>) -> Tensor<2> {
        cross.mul_scalar(2.0 * self.scale) + own.mul_scalar(self.scale * self.scale)
    }
}

/// Squared norm per output `[1, d_out]` or per input `[d_in, 1]` of a weight `[d_in, d_out]`.
pub(crate) fn squares(weight: &Tensor<2>, side: Side) -> Tensor<2> {
    let squares = square(weight.clone());
    match side {
        Side::Output => squares.sum_dim(0),
        Side::Input => squares.sum_dim(1),
    }
}

/// The squared norms of a fresh slot's frozen weight.
///
/// # Errors
/// [`PeftError::Base`] when one of them is NaN or infinite.
pub(crate) fn checked_squares(slot: &Slot<'_>, side: Side) -> Result<Tensor<2>, PeftError> {
    let squares = squares(&in_f32(slot.weight.val()), side);
    let values: Vec<f32> = peft_core::read(squares.clone()).iter::<f32>().collect();
    let broken = values.iter().filter(|value| !value.is_finite()).count();
    match broken {
        0 => Ok(squares),
        count => Err(PeftError::Base {
            site: slot.site.path.clone(),
            problem: format!(
                "{count} of the norms of its {} {}s are NaN or infinite",
                values.len(),
                side.word(),
            ),
        }),
    }
}

/// `||m - ||W|| || / || ||W|| ||`: how far magnitudes moved from the norms of `weight`, where they started.
pub(crate) fn change(magnitude: Tensor<1>, weight: &Tensor<2>, side: Side) -> f64 {
    let start = norm(squares(weight, side)).reshape([-1]);
    relative_change(magnitude - start.clone(), start)
}

/// `||by|| / ||from||`; 0 where nothing changed.
pub(crate) fn relative_change(by: Tensor<1>, from: Tensor<1>) -> f64 {
    let length = |x: Tensor<1>| {
        let values = peft_core::read(x);
        let squares = values.iter::<f32>().map(|value| f64::from(value).powi(2));
        squares.sum::<f64>().sqrt()
    };
    match length(by) {
        0.0 => 0.0,
        changed => changed / length(from),
    }
}

/// A product in f32, whatever the layers are multiplied in: norms are small differences of large sums.
fn exact(x: Tensor<2>, weight: Factor) -> Tensor<2> {
    Compute::F32.run(|| product(x, weight))
}

fn square(x: Tensor<2>) -> Tensor<2> {
    x.clone() * x
}

/// `max(sqrt(squares), 1e-12)`.
pub(crate) fn norm(squares: Tensor<2>) -> Tensor<2> {
    squares.clamp_min(SMALLEST_SQUARE).sqrt()
}

/// The weight in f32, or in f64 if it is that already.
pub(crate) fn in_f32(weight: Tensor<2>) -> Tensor<2> {
    match weight.dtype() {
        DType::F32 | DType::F64 => weight,
        _ => weight.cast(FloatDType::F32),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use peft_core::init::gaussian;
    use peft_core::testing::tolerance::{MATMUL, assert_close};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn host(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    fn sum(scale: f64) -> Sum {
        let (mut rng, device) = (ChaCha8Rng::seed_from_u64(3), Device::default());
        let mut draw =
            |rows, columns| Tensor::<2>::from_data(gaussian(rows, columns, 0.5, &mut rng), &device);
        Sum {
            weight: draw(7, 11).into(),
            a: draw(7, 3),
            b: draw(3, 11),
            scale,
        }
    }

    #[test]
    fn norms_from_the_factors_are_those_of_the_dense_weight() {
        for scale in [0.0, 0.7, -2.0] {
            let sum = sum(scale);
            for side in [Side::Output, Side::Input] {
                let factored = sum.norms(side, squares(&sum.values(), side));
                let dense = norm(squares(&sum.dense(), side));
                assert_eq!(factored.dims(), dense.dims());
                assert_close("norms", &host(factored), &host(dense), MATMUL);
            }
        }
    }

    #[test]
    fn norms_after_scaling_the_other_side_are_those_of_the_scaled_dense_weight() {
        let sum = sum(0.7);
        for side in [Side::Output, Side::Input] {
            let other = match side {
                Side::Output => squares(&sum.values(), Side::Input),
                Side::Input => squares(&sum.values(), Side::Output),
            };
            let scales = other - 1.5; // some of them negative
            let dense = norm(squares(&(sum.dense() * scales.clone()), side));
            let factored = sum.scaled_norms(side, &scales);
            assert_close("norms", &host(factored), &host(dense), MATMUL);
        }
    }

    #[test]
    fn a_sum_that_cancels_has_a_small_norm_and_no_nan() {
        let mut sum = sum(-1.0);
        sum.weight = sum.a.clone().matmul(sum.b.clone()).into();
        for side in [Side::Output, Side::Input] {
            for value in host(sum.norms(side, squares(&sum.values(), side))) {
                assert!((1e-12..1e-2).contains(&value), "{value}");
            }
        }
    }

    #[test]
    fn norms_of_a_half_precision_weight_are_computed_in_f32() {
        let values = TensorData::new(vec![3.0f32, 4.0, 300.0, 400.0], [2, 2]);
        let half = Tensor::<2>::from_data(values, &Device::default()).cast(FloatDType::BF16);
        let weight = in_f32(half);
        assert_eq!(weight.dtype(), DType::F32);
        let norms = norm(squares(&weight, Side::Input));
        assert_eq!(host(norms), [5.0, 500.0]);
    }
}
