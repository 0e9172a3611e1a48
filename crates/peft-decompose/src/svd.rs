//! Singular values and vectors of frozen weights, and their QR, on the host and in f64.
//!
//! `W = left diag(values) right`, values in falling order, columns of `left` and rows of `right` orthonormal. In Hugging Face's
//! orientation `W^T = U diag(values) V^T` with `U = right^T` and `V = left`. One thread computes it, so that the same bits of `W` give
//! the same result whatever the machine's number of threads.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use faer::Mat;
use peft_core::{PeftError, Site, Slot};
use sha2::{Digest, Sha256};

/// The thin singular value decomposition of a weight `[d_in, d_out]`.
#[derive(Debug)]
pub(crate) struct Decomposition {
    values: Vec<f64>,
    /// `[d_in, n]`.
    left: Mat<f64>,
    /// `[d_out, n]`: the transpose of `right`.
    right: Mat<f64>,
}

impl Decomposition {
    /// Decomposes the frozen weight of a slot.
    ///
    /// # Errors
    /// [`PeftError::Base`] when the weight holds NaN or infinite values, or the iteration does not converge.
    pub(crate) fn of(slot: &Slot<'_>) -> Result<Self, PeftError> {
        let weight = finite_values(slot)?;
        let (d_in, d_out) = (slot.site.d_in, slot.site.d_out);
        let matrix = Mat::from_fn(d_in, d_out, |i, o| f64::from(weight[i * d_out + o]));
        let svd = matrix.thin_svd().map_err(|_| PeftError::Base {
            site: slot.site.path.clone(),
            problem: "its singular value decomposition does not converge".into(),
        })?;
        Ok(Self {
            values: svd.S().column_vector().iter().copied().collect(),
            left: svd.U().to_owned(),
            right: svd.V().to_owned(),
        })
    }

    /// Every singular value, in falling order.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Some columns of `left`, column `j` multiplied by `scale(j)`: `[d_in, k]`.
    pub(crate) fn left(&self, columns: Range<usize>, scale: impl Fn(usize) -> f64) -> TensorData {
        let (rows, k) = (self.left.nrows(), columns.len());
        let values: Vec<f32> = (0..rows)
            .flat_map(|row| columns.clone().map(move |j| (row, j)))
            .map(|(row, j)| (self.left[(row, j)] * scale(j)) as f32)
            .collect();
        TensorData::new(values, [rows, k])
    }

    /// Some rows of `right`, row `j` multiplied by `scale(j)`: `[k, d_out]`.
    pub(crate) fn right(&self, rows: Range<usize>, scale: impl Fn(usize) -> f64) -> TensorData {
        let (k, columns) = (rows.len(), self.right.nrows());
        let values: Vec<f32> = rows
            .flat_map(|j| (0..columns).map(move |column| (column, j)))
            .map(|(column, j)| (self.right[(column, j)] * scale(j)) as f32)
            .collect();
        TensorData::new(values, [k, columns])
    }

    /// `A_0 [d_in, k]` and `B_0 [k, d_out]` from some of the values and their vectors, `scale * A_0 B_0` being that part of the weight.
    pub(crate) fn pair(&self, part: Range<usize>, scale: f64) -> (TensorData, TensorData) {
        let root = |j: usize| (self.values[j] / scale).sqrt();
        (self.left(part.clone(), root), self.right(part, root))
    }
}

/// The first `rank` rows of `R` and columns of `Q` in `W^T = Q R`, as `(R^T [d_in, rank], Q^T [rank, d_out])`.
///
/// # Errors
/// [`PeftError::Base`] when the weight holds NaN or infinite values.
pub(crate) fn orthonormal(slot: &Slot<'_>) -> Result<(TensorData, TensorData), PeftError> {
    let weight = finite_values(slot)?;
    let (d_in, d_out, rank) = (slot.site.d_in, slot.site.d_out, slot.rank);
    let matrix = Mat::from_fn(d_out, d_in, |o, i| f64::from(weight[i * d_out + o]));
    let qr = matrix.qr();
    let (q, r) = (qr.compute_thin_Q(), qr.thin_R());
    let a: Vec<f32> = (0..d_in * rank)
        .map(|at| r[(at % rank, at / rank)] as f32)
        .collect();
    let b: Vec<f32> = (0..rank * d_out)
        .map(|at| q[(at % d_out, at / d_out)] as f32)
        .collect();
    Ok((
        TensorData::new(a, [d_in, rank]),
        TensorData::new(b, [rank, d_out]),
    ))
}

/// The values of a slot's weight, row by row of `[d_in, d_out]`.
///
/// # Errors
/// [`PeftError::Base`] when some are NaN or infinite.
pub(crate) fn finite_values(slot: &Slot<'_>) -> Result<Vec<f32>, PeftError> {
    let values = host(slot.weight.val());
    let broken = values.iter().filter(|value| !value.is_finite()).count();
    if broken == 0 {
        return Ok(values);
    }
    Err(PeftError::Base {
        site: slot.site.path.clone(),
        problem: format!(
            "{broken} of its {} values are NaN or infinite",
            values.len()
        ),
    })
}

/// SHA-256 of a weight's f32 values, little endian, in the order of Hugging Face's `[d_out, d_in]`.
pub(crate) fn digest(weight: Tensor<2>, site: &Site) -> [u8; 32] {
    let values = host(weight);
    let mut hasher = Sha256::new();
    let mut row = Vec::with_capacity(4 * site.d_in);
    for output in 0..site.d_out {
        row.clear();
        let column = values.iter().skip(output).step_by(site.d_out);
        row.extend(column.flat_map(|value| value.to_le_bytes()));
        hasher.update(&row);
    }
    hasher.finalize().into()
}

fn host(weight: Tensor<2>) -> Vec<f32> {
    peft_core::read(weight).iter::<f32>().collect()
}
