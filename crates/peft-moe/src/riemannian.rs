//! The Riemannian preconditioner of low-rank pairs (Zhang and Pilanci 2024, <https://arxiv.org/abs/2402.02347>), with
//! `delta = scale * A B`, `A [d_in, rank]`, `B [rank, d_out]` and their gradients `G_A`, `G_B`:
//!
//! ```text
//! G_A <- G_A (B B^T + damping_A I)^-1,  damping_A = max(damping, 1e-6 trace(B B^T))
//! G_B <- (A^T A + damping_B I)^-1 G_B,  damping_B = max(damping, 1e-6 trace(A^T A))
//! ```
//!
//! What follows (SGD, or AdamW with both of its moments) takes the new gradients for the old ones. With `damping = 0`, a step of SGD changes
//! the product `A B` in the same way for every pair of factors that has it. Each expert of a mixture is a pair of its own. The scale is not
//! compensated, as in the published code.
//!
//! The matrices `[rank, rank]` of all pairs are inverted together, through their Cholesky factors: one read from the device and one write
//! to it per rank. Products and inverses are f64 on devices that have it.
//!
//! Deviation from the published code, which damps absolutely, inverts without factorising and goes on with the plain gradient where that
//! fails: as factors grow, an absolute damping falls below the rounding of what it is added to. A gradient in f32 carries noise of 1e-7 of its
//! size, and a direction in which a factor of norm 10 has nothing would multiply that by 1e6. The share of the trace bounds the condition number,
//! and where rounding on a device without f64 still spoils a factorisation, the damping of that matrix is raised tenfold until it
//! succeeds. Values that are not finite are an error.

use burn::module::ParamId;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use indexmap::IndexMap;
use peft_core::{FactorPair, Factors, PeftError, Procedure, ProcedureEntry, ProcedureResult, cast};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const NAME: &str = "riemannian";

/// The entry of the preconditioner in a registry of procedures.
pub const RIEMANNIAN: ProcedureEntry = ProcedureEntry {
    id: NAME,
    summary: "conditions the gradients of low-rank pairs, each factor's by the inverse of the other's Gram matrix",
    paper: "Zhang and Pilanci 2024, Riemannian Preconditioned LoRA for Fine-Tuning Foundation Models, arXiv 2402.02347",
    from_options: Riemannian::from_options,
};

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Riemannian {
    /// What is added to the diagonals at least; without any, a `B` of zero, where training starts, has no inverse.
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

impl Riemannian {
    fn from_options(options: &Map<String, Value>) -> ProcedureResult {
        let procedure: Self = ProcedureEntry::options(NAME, options)?;
        if procedure.damping.is_finite() && procedure.damping > 0.0 {
            return Ok(Box::new(procedure));
        }
        Err(PeftError::ProcedureOption {
            procedure: NAME,
            option: "damping",
            problem: format!(
                "expected a positive number, found {}; a factor of zero, where training starts, has no inverse without",
                procedure.damping
            ),
        })
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

impl Procedure for Riemannian {
    fn name(&self) -> &'static str {
        NAME
    }

    fn boxed(&self) -> Box<dyn Procedure> {
        Box::new(self.clone())
    }

    fn conditions_pairs(&self) -> bool {
        true
    }

    fn steps_a_first(&self) -> bool {
        self.order == Order::GaussSeidel
    }

    fn condition(
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
        let value = wide(factors.get(other)?);
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
            let (shape, stored) = (gradient.dims(), gradient.dtype());
            let gradient = cast(gradient, inverse.dtype());
            let conditioned = match job.side {
                Side::A => columns(gradient, job.count).matmul(inverse).swap_dims(0, 1),
                Side::B => inverse.matmul(rows(gradient, job.count)),
            };
            grads.register(job.gradient, cast(conditioned.reshape(shape), stored));
        }
        Ok(())
    }

    /// The damped inverse of each of `[n, rank, rank]`, made on the host, in the type of these.
    fn inverses(&self, grams: Tensor<3>, device: &Device) -> Result<Tensor<3>, PeftError> {
        let (shape, dtype) = (grams.dims(), grams.dtype());
        let rank = shape[1];
        let values: Vec<f64> = peft_core::read(grams).iter::<f64>().collect();
        let mut inverses = Vec::with_capacity(values.len());
        for gram in values.chunks_exact(rank * rank) {
            let inverse =
                damped_inverse(gram, rank, self.damping).ok_or_else(|| PeftError::Precondition {
                    name: NAME,
                    problem: format!(
                        "a pair's matrix of {rank} x {rank} has no inverse: its values are not finite, or no damping is added (damping = {})",
                        self.damping
                    ),
                })?;
            inverses.extend(inverse);
        }
        let inverses = TensorData::new(inverses, shape);
        Ok(Tensor::from_data(inverses, (device, dtype)))
    }
}

/// In f64 where the device has it.
fn wide(x: Tensor<2>) -> Tensor<2> {
    if x.device().supports_dtype(DType::F64) {
        cast(x, DType::F64)
    } else {
        x
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

/// Smallest damping, over the trace.
const SMALLEST_SHARE: f64 = 1e-6;

/// `(gram + max(damping, 1e-6 trace) I)^-1`; `None` for values that are not finite, and for zeros without damping.
fn damped_inverse(gram: &[f64], n: usize, damping: f64) -> Option<Vec<f64>> {
    let trace: f64 = (0..n).map(|at| gram[at * n + at]).sum();
    let damping = damping.max(SMALLEST_SHARE * trace);
    // Ten times the trace outweighs whatever rounding did to the matrix.
    (0..8).find_map(|power| inverse(gram, n, damping * 10f64.powi(power)))
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
mod tests;
