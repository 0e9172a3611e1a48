//! The columns of many factors side by side, `X [d, n]`, in memory that does not grow with `n` beyond `d` columns.
//!
//! While `n <= d` the columns themselves are held and taken apart by a singular value decomposition. More columns than that are summed into
//! `X X^T [d, d]`, whose eigenvectors are the same; its eigenvalues are the squares of the singular values, so that directions weaker than
//! about `sqrt(d eps)` of the strongest (4e-7 at `d = 768`) cannot be told from rounding and count as absent.

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, MatRef, Par, Side};
use peft_format::linalg::squared;

use crate::error::SubspaceError;

/// Columns that are added to the sum in one go: the product of a wide block is several times faster than of a narrow one.
const BLOCK: usize = 256;

/// Columns of one height, `X [d, n]`.
#[derive(Debug, Clone)]
pub struct Stack {
    d: usize,
    /// Number of columns so far.
    n: usize,
    /// Sum of the columns, `[d, 1]`.
    sum: Mat<f64>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// The columns, as many as fit; the first `n` are filled.
    Columns(Mat<f64>),
    /// The lower triangle of `X X^T` without the last `filled` columns, which wait in `pending`.
    Gram {
        gram: Mat<f64>,
        pending: Mat<f64>,
        filled: usize,
    },
}

/// Left singular vectors and singular values of `X` or of `X - mu`, those that are not rounding.
#[derive(Debug, Clone)]
pub(crate) struct Spectrum {
    /// `[d, rank]`, orthonormal columns.
    pub(crate) vectors: Mat<f64>,
    /// In falling order, as many as there are vectors.
    pub(crate) values: Vec<f64>,
    /// Sum of the squares of all, which is the sum of squares of the matrix.
    pub(crate) total: f64,
}

impl Stack {
    /// An empty stack of columns of height `d` that expects `n` of them.
    #[must_use]
    pub fn new(d: usize, n: usize) -> Self {
        let form = if n <= d {
            Form::Columns(Mat::zeros(d, n))
        } else {
            Form::Gram {
                gram: Mat::zeros(d, d),
                pending: Mat::zeros(d, BLOCK),
                filled: 0,
            }
        };
        Self {
            d,
            n: 0,
            sum: Mat::zeros(d, 1),
            form,
        }
    }

    /// Height of the columns.
    #[must_use]
    pub fn height(&self) -> usize {
        self.d
    }

    /// Number of columns so far.
    #[must_use]
    pub fn width(&self) -> usize {
        self.n
    }

    /// Adds columns `[d, m]`.
    ///
    /// # Errors
    /// [`SubspaceError::Height`] for columns of another height, [`SubspaceError::NotFinite`] where a value is none.
    pub fn push(&mut self, columns: MatRef<'_, f64>) -> Result<(), SubspaceError> {
        if columns.nrows() != self.d {
            return Err(SubspaceError::Height {
                expected: self.d,
                found: columns.nrows(),
            });
        }
        if !columns.is_all_finite() {
            return Err(SubspaceError::NotFinite);
        }
        for column in columns.col_iter() {
            let mut sum = self.sum.col_mut(0);
            sum += column;
        }
        let m = columns.ncols();
        match &mut self.form {
            Form::Columns(held) => {
                if self.n + m > held.ncols() {
                    held.resize_with(self.d, self.n + m, |_, _| 0.0);
                }
                held.subcols_mut(self.n, m).copy_from(columns);
            }
            Form::Gram {
                gram,
                pending,
                filled,
            } => {
                for column in columns.col_iter() {
                    pending.col_mut(*filled).copy_from(column);
                    *filled += 1;
                    if *filled == BLOCK {
                        accumulate(gram, pending.as_ref());
                        *filled = 0;
                    }
                }
            }
        }
        self.n += m;
        Ok(())
    }

    /// The mean column, `[d, 1]`.
    pub(crate) fn mean(&self) -> Mat<f64> {
        &self.sum * faer::Scale(1.0 / self.n.max(1) as f64)
    }

    /// Takes the columns apart, or what is left of them when the mean is subtracted from each.
    ///
    /// # Errors
    /// [`SubspaceError::NoConvergence`].
    pub(crate) fn spectrum(&self, centred: bool) -> Result<Spectrum, SubspaceError> {
        let mean = centred.then(|| self.mean());
        match &self.form {
            Form::Columns(held) => {
                let held = held.subcols(0, self.n);
                match &mean {
                    None => of_columns(held),
                    Some(mean) => of_columns((held - mean * Mat::<f64>::ones(1, self.n)).as_ref()),
                }
            }
            Form::Gram {
                gram,
                pending,
                filled,
            } => {
                let mut gram = gram.clone();
                accumulate(&mut gram, pending.subcols(0, *filled));
                if let Some(mean) = &mean {
                    gram -= mean * mean.transpose() * faer::Scale(self.n as f64);
                }
                of_gram(gram.as_ref())
            }
        }
    }
}

/// Adds `X X^T` to the lower triangle of `gram`.
fn accumulate(gram: &mut Mat<f64>, columns: MatRef<'_, f64>) {
    matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Add,
        columns,
        BlockStructure::Rectangular,
        columns.transpose(),
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
}

fn of_columns(columns: MatRef<'_, f64>) -> Result<Spectrum, SubspaceError> {
    let (d, n) = columns.shape();
    let total = squared(columns);
    if n == 0 || total == 0.0 {
        return Ok(nothing(d));
    }
    let svd = columns
        .thin_svd()
        .map_err(|_| SubspaceError::NoConvergence)?;
    let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    let least = d.max(n) as f64 * f64::EPSILON * values[0];
    let rank = values.iter().take_while(|value| **value > least).count();
    Ok(Spectrum {
        vectors: svd.U().subcols(0, rank).to_owned(),
        values: values[..rank].to_vec(),
        total,
    })
}

fn of_gram(gram: MatRef<'_, f64>) -> Result<Spectrum, SubspaceError> {
    let d = gram.nrows();
    let total: f64 = (0..d).map(|at| gram[(at, at)]).sum();
    if total <= 0.0 {
        return Ok(nothing(d));
    }
    let eigen = gram
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| SubspaceError::NoConvergence)?;
    // In rising order.
    let squares: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
    let least = d as f64 * f64::EPSILON * squares[d - 1];
    let rank = squares
        .iter()
        .rev()
        .take_while(|square| **square > least)
        .count();
    let vectors = Mat::from_fn(d, rank, |row, column| eigen.U()[(row, d - 1 - column)]);
    Ok(Spectrum {
        vectors,
        values: squares
            .iter()
            .rev()
            .take(rank)
            .map(|square| square.sqrt())
            .collect(),
        total,
    })
}

fn nothing(d: usize) -> Spectrum {
    Spectrum {
        vectors: Mat::zeros(d, 0),
        values: Vec::new(),
        total: 0.0,
    }
}
