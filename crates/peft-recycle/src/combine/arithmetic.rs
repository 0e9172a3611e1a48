//! Arithmetic of tensors of one shape, entry by entry: prune each tensor, then add them up, all or only those of the elected sign.
//!
//! ```text
//! linear           sum_i w_i t_i                                           task arithmetic (Ilharco et al. 2022, arXiv 2212.04089)
//! magnitude prune  sum_i w_i p(t_i)      p keeps the floor(density n) largest magnitudes of the n entries
//! TIES             sum_i w_i p(t_i) [sign(p(t_i)) = e] / max(1, sum_i [sign(p(t_i)) = e])       (Yadav et al. 2023, arXiv 2306.01708)
//! DARE             as linear or as TIES, where p keeps each entry with probability density and divides it by it
//!                                                                                               (Yu et al. 2023, arXiv 2311.03099)
//! ```
//!
//! The elected sign `e` is that of `sum_i p(t_i)` (total) or of `sum_i sign(p(t_i))` (frequency), and positive where the sum is zero; the
//! weights have no vote. The definitions are those of `peft.utils.merge_utils`. Two deviations: among entries of equal magnitude those that
//! come first are kept (PyTorch promises no order), and random numbers come from the seed and from the names of the tensor and of its
//! adapter, so that the order of the adapters does not matter.

use faer::Mat;
use peft_format::name_number;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::CombineError;

/// Which entries of a tensor take part.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Prune {
    /// All.
    None,
    /// This share of them, those of the largest magnitude.
    Magnitude {
        /// From 0 to 1.
        density: f64,
    },
    /// Each with this probability, and divided by it.
    Random {
        /// Above 0, up to 1.
        density: f64,
        /// Seed of the choice.
        seed: u64,
    },
}

/// How the sign of an entry is elected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Majority {
    /// By the sum of the entries.
    #[default]
    Total,
    /// By the number of adapters.
    Frequency,
}

/// How pruned tensors are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Merge {
    /// The weighted sum.
    Sum,
    /// The weighted sum of the entries of the elected sign, by their number.
    Elect(Majority),
}

/// A rule by which tensors of one shape become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arithmetic {
    /// What is done to each tensor.
    pub prune: Prune,
    /// How they are added up.
    pub merge: Merge,
}

impl Arithmetic {
    /// The weighted sum.
    #[must_use]
    pub fn linear() -> Self {
        Self {
            prune: Prune::None,
            merge: Merge::Sum,
        }
    }

    /// The weighted sum of the largest entries of each.
    #[must_use]
    pub fn magnitude_prune(density: f64) -> Self {
        Self {
            prune: Prune::Magnitude { density },
            merge: Merge::Sum,
        }
    }

    /// TIES.
    #[must_use]
    pub fn ties(density: f64, majority: Majority) -> Self {
        Self {
            prune: Prune::Magnitude { density },
            merge: Merge::Elect(majority),
        }
    }

    /// DARE with the weighted sum.
    #[must_use]
    pub fn dare_linear(density: f64, seed: u64) -> Self {
        Self {
            prune: Prune::Random { density, seed },
            merge: Merge::Sum,
        }
    }

    /// DARE with the election of TIES.
    #[must_use]
    pub fn dare_ties(density: f64, seed: u64, majority: Majority) -> Self {
        Self {
            prune: Prune::Random { density, seed },
            merge: Merge::Elect(majority),
        }
    }

    /// Checks the density.
    pub(super) fn check(&self) -> Result<(), CombineError> {
        let (expected, found, fits) = match self.prune {
            Prune::None => return Ok(()),
            Prune::Magnitude { density } => {
                ("from 0 to 1", density, (0.0..=1.0).contains(&density))
            }
            Prune::Random { density, .. } => {
                let fits = density > 0.0 && density <= 1.0;
                ("above 0 and up to 1", density, fits)
            }
        };
        if fits {
            Ok(())
        } else {
            Err(CombineError::Density { expected, found })
        }
    }

    /// Merges the tensors of a shape. Each is asked for when it is needed, twice for an election, so that one at a time is in memory.
    ///
    /// `tensors` are a name, by which random entries are chosen, and a weight for each; `tensor` makes one of them.
    pub(super) fn apply(
        &self,
        (rows, columns): (usize, usize),
        tensors: &[(String, f64)],
        tensor: impl Fn(usize) -> Mat<f64>,
    ) -> Mat<f64> {
        let mut sum = Mat::zeros(rows, columns);
        let pruned = |at: usize| self.pruned(tensor(at), &tensors[at].0);
        match self.merge {
            Merge::Sum => {
                for (at, (_, weight)) in tensors.iter().enumerate() {
                    sum += pruned(at) * faer::Scale(*weight);
                }
            }
            Merge::Elect(majority) => {
                let elected = elected((rows, columns), majority, (0..tensors.len()).map(pruned));
                let mut voters = Mat::<f64>::zeros(rows, columns);
                for (at, (_, weight)) in tensors.iter().enumerate() {
                    let tensor = pruned(at);
                    for place in places(rows, columns) {
                        if sign(tensor[place]) == elected[place] {
                            sum[place] += weight * tensor[place];
                            voters[place] += 1.0;
                        }
                    }
                }
                for place in places(rows, columns) {
                    sum[place] /= voters[place].max(1.0);
                }
            }
        }
        sum
    }

    fn pruned(&self, mut tensor: Mat<f64>, name: &str) -> Mat<f64> {
        let (rows, columns) = tensor.shape();
        match self.prune {
            Prune::None => {}
            Prune::Magnitude { density } if density >= 1.0 => {}
            Prune::Magnitude { density } => keep_largest(&mut tensor, density),
            Prune::Random { density, seed } => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed ^ name_number(name));
                for place in places(rows, columns) {
                    let kept = rng.random::<f64>() < density;
                    tensor[place] = if kept { tensor[place] / density } else { 0.0 };
                }
            }
        }
        tensor
    }
}

/// Sets all but the `floor(density n)` entries of the largest magnitude to zero.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the density was checked: the product is from 0 to n"
)]
fn keep_largest(tensor: &mut Mat<f64>, density: f64) {
    let rows = tensor.nrows();
    let n = rows * tensor.ncols();
    let kept = (density * n as f64) as usize;
    let mut order: Vec<usize> = (0..n).collect();
    let size = |at: usize| tensor[(at % rows, at / rows)].abs();
    if kept < n {
        order.select_nth_unstable_by(kept, |one, other| {
            size(*other).total_cmp(&size(*one)).then(one.cmp(other))
        });
    }
    for at in order.into_iter().skip(kept) {
        tensor[(at % rows, at / rows)] = 0.0;
    }
}

/// 1 or -1 for every entry.
fn elected(
    (rows, columns): (usize, usize),
    majority: Majority,
    tensors: impl Iterator<Item = Mat<f64>>,
) -> Mat<f64> {
    let mut votes = Mat::<f64>::zeros(rows, columns);
    for tensor in tensors {
        for place in places(rows, columns) {
            votes[place] += match majority {
                Majority::Total => tensor[place],
                Majority::Frequency => sign(tensor[place]),
            };
        }
    }
    Mat::from_fn(rows, columns, |row, column| {
        if votes[(row, column)] >= 0.0 {
            1.0
        } else {
            -1.0
        }
    })
}

/// 1, -1, or 0 of zero.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

/// Every row and column, column after column.
fn places(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..columns).flat_map(move |column| (0..rows).map(move |row| (row, column)))
}

#[cfg(test)]
mod tests;
