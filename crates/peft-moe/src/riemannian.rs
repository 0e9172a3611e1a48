//! The Riemannian preconditioner of low-rank pairs (Zhang and Pilanci 2024, <https://arxiv.org/abs/2402.02347>), with
//! `delta = scale * A B`, `A [d_in, rank]`, `B [rank, d_out]` and their gradients `G_A`, `G_B`:
//!
//! ```text
//! G_A <- G_A (B B^T + damping I)^-1
//! G_B <- (A^T A + damping I)^-1 G_B
//! ```
//!
//! What follows (SGD, or AdamW with both of its moments) takes the new gradients for the old ones. With `damping = 0`, a step of SGD changes
//! the product `A B` in the same way for every pair of factors that has it. Each expert of a mixture is a pair of its own. The scale is not
//! compensated, as in the published code.
//!
//! The matrices `[rank, rank]` of all pairs are inverted together, through their Cholesky factors: one read from the device and one write
//! to it per rank. Deviation from the published code, which inverts without factorising and goes on with the plain gradient where that fails: a
//! positive damping makes that impossible, and values that are not finite are an error.

use burn::module::ParamId;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use indexmap::IndexMap;
use peft_core::precondition::{Factors, Preconditioner};
use peft_core::{FactorPair, PeftError};
use serde::{Deserialize, Serialize};

const NAME: &str = "riemannian";

/// Which `A` the gradient of `B` is conditioned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The one before the step, for both.
    #[default]
    Jacobi,
    /// The one after its own step, as in the published AdamW (where a reference, not a copy, made it so).
    GaussSeidel,
}

/// The preconditioner with its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Riemannian {
    /// What is added to the diagonals; without any, a `B` of zero, where training starts, has no inverse.
    pub damping: f64,
    /// Which values condition the second gradient.
    pub order: Order,
}

impl Default for Riemannian {
    /// As published: `damping = 1e-6`.
    fn default() -> Self {
        Self {
            damping: 1e-6,
            order: Order::default(),
        }
    }
}

/// A gradient that is to be conditioned, and the matrices that it takes.
struct Job {
    gradient: ParamId,
    side: Side,
    count: usize,
    /// `[count, rank, rank]`.
    grams: Tensor<3>,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// `G_A`, blocks of columns, multiplied from the right.
    A,
    /// `G_B`, blocks of rows, multiplied from the left.
    B,
}

impl Preconditioner for Riemannian {
    fn name(&self) -> &'static str {
        NAME
    }

    fn steps_a_first(&self) -> bool {
        self.order == Order::GaussSeidel
    }

    fn precondition(
        &self,
        grads: &mut GradientsParams,
        pairs: &[FactorPair],
        factors: &Factors,
    ) -> Result<(), PeftError> {
        let mut by_rank: IndexMap<usize, Vec<Job>> = IndexMap::new();
        for pair in pairs {
            for side in [Side::A, Side::B] {
                if let Some(job) = Job::new(pair, side, grads, factors) {
                    by_rank.entry(job.grams.dims()[1]).or_default().push(job);
                }
            }
        }
        for jobs in by_rank.into_values() {
            self.apply(jobs, grads)?;
        }
        Ok(())
    }
}

impl Job {
    /// `None` where there is no such gradient, as of layers that share a pair with another.
    fn new(
        pair: &FactorPair,
        side: Side,
        grads: &GradientsParams,
        factors: &Factors,
    ) -> Option<Self> {
        let (gradient, other) = match side {
            Side::A => (pair.a, pair.b),
            Side::B => (pair.b, pair.a),
        };
        grads.get::<2>(gradient)?;
        let value = factors.get(other)?;
        let grams = match side {
            Side::A => {
                let rows = rows(value, pair.count);
                rows.clone().matmul(rows.transpose())
            }
            Side::B => {
                let columns = columns(value, pair.count);
                columns.clone().transpose().matmul(columns)
            }
        };
        Some(Self {
            gradient,
            side,
            count: pair.count,
            grams,
        })
    }
}

impl Riemannian {
    /// Conditions the gradients of pairs of one rank.
    fn apply(&self, jobs: Vec<Job>, grads: &mut GradientsParams) -> Result<(), PeftError> {
        let device = jobs[0].grams.device();
        let grams = Tensor::cat(jobs.iter().map(|job| job.grams.clone()).collect(), 0);
        let inverses = self.inverses(grams, &device)?;
        let mut at = 0;
        for job in jobs {
            let inverse = inverses.clone().narrow(0, at, job.count);
            at += job.count;
            let Some(gradient) = grads.remove::<2>(job.gradient) else {
                continue;
            };
            let shape = gradient.dims();
            let conditioned = match job.side {
                Side::A => columns(gradient, job.count).matmul(inverse).swap_dims(0, 1),
                Side::B => inverse.matmul(rows(gradient, job.count)),
            };
            grads.register(job.gradient, conditioned.reshape(shape));
        }
        Ok(())
    }

    /// `(gram + damping I)^-1` of each of `[n, rank, rank]`, on the host.
    fn inverses(&self, grams: Tensor<3>, device: &Device) -> Result<Tensor<3>, PeftError> {
        let shape = grams.dims();
        let rank = shape[1];
        let values: Vec<f64> = grams.into_data().iter::<f64>().collect();
        let mut inverses = Vec::with_capacity(values.len());
        for gram in values.chunks_exact(rank * rank) {
            let inverse =
                inverse(gram, rank, self.damping).ok_or_else(|| PeftError::Precondition {
                    name: NAME,
                    problem: format!(
                        "a pair's matrix of {rank} x {rank} has no inverse: its values are not finite, or no damping is added (damping = {})",
                        self.damping
                    ),
                })?;
            inverses.extend(inverse.into_iter().map(|value| value as f32));
        }
        Ok(Tensor::from_data(TensorData::new(inverses, shape), device))
    }
}

/// `[d, count * rank]` as `[count, d, rank]`.
fn columns(x: Tensor<2>, count: usize) -> Tensor<3> {
    let [d, width] = x.dims();
    x.reshape([d, count, width / count]).swap_dims(0, 1)
}

/// `[count * rank, d]` as `[count, rank, d]`.
fn rows(x: Tensor<2>, count: usize) -> Tensor<3> {
    let [height, d] = x.dims();
    x.reshape([count, height / count, d])
}

/// `(gram + damping I)^-1` by its Cholesky factor, row-major; `None` when there is none.
fn inverse(gram: &[f64], n: usize, damping: f64) -> Option<Vec<f64>> {
    let factor = cholesky(gram, n, damping)?;
    let mut inverse = vec![0.0; n * n];
    let mut column = vec![0.0; n];
    for at in 0..n {
        column.fill(0.0);
        column[at] = 1.0;
        for row in 0..n {
            let known: f64 = (0..row).map(|k| factor[row * n + k] * column[k]).sum();
            column[row] = (column[row] - known) / factor[row * n + row];
        }
        for row in (0..n).rev() {
            let known: f64 = (row + 1..n).map(|k| factor[k * n + row] * column[k]).sum();
            column[row] = (column[row] - known) / factor[row * n + row];
        }
        for (row, value) in column.iter().enumerate() {
            inverse[row * n + at] = *value;
        }
    }
    Some(inverse)
}

/// The lower triangle `L` with `L L^T = gram + damping I`; `None` where a pivot is not a positive number.
fn cholesky(gram: &[f64], n: usize, damping: f64) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; n * n];
    for row in 0..n {
        for column in 0..=row {
            let known: f64 = (0..column)
                .map(|k| factor[row * n + k] * factor[column * n + k])
                .sum();
            let rest = gram[row * n + column] - known;
            factor[row * n + column] = if row == column {
                let pivot = rest + damping;
                if !(pivot > 0.0 && pivot.is_finite()) {
                    return None;
                }
                pivot.sqrt()
            } else {
                rest / factor[column * n + column]
            };
        }
    }
    Some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_is_that_of_the_explicit_formula() {
        // (a + d, b; b, c + d) with determinant (a + d)(c + d) - b^2.
        let (a, b, c, d) = (2.0, 0.75, 1.0, 0.25);
        let found = inverse(&[a, b, b, c], 2, d).unwrap();
        let determinant = (a + d) * (c + d) - b * b;
        let expected = [c + d, -b, -b, a + d].map(|value| value / determinant);
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-15,
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let n = 7;
        let half: Vec<f64> = (0..n * n)
            .map(|at| ((at * 37 % 11) as f64 - 5.0) / 7.0)
            .collect();
        let entry =
            |i: usize, j: usize| -> f64 { (0..n).map(|k| half[i * n + k] * half[j * n + k]).sum() };
        let gram: Vec<f64> = (0..n * n).map(|at| entry(at / n, at % n)).collect();
        let found = inverse(&gram, n, 1e-3).unwrap();
        for i in 0..n {
            for j in 0..n {
                let mut product: f64 = (0..n).map(|k| gram[i * n + k] * found[k * n + j]).sum();
                product += 1e-3 * found[i * n + j];
                let one = if i == j { 1.0 } else { 0.0 };
                assert!((product - one).abs() < 1e-9, "at {i}, {j}: {product}");
            }
        }
    }

    #[test]
    fn nothing_and_nan_have_no_inverse_but_damping_gives_nothing_one() {
        assert!(inverse(&[0.0; 4], 2, 0.0).is_none());
        assert!(inverse(&[f64::NAN, 0.0, 0.0, 1.0], 2, 1e-6).is_none());
        let damped = inverse(&[0.0; 4], 2, 1e-6).unwrap();
        assert!((damped[0] - 1e6).abs() < 1e-3 && damped[1] == 0.0);
    }
}
