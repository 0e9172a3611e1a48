//! The principal components of rows that come in batches, as many as asked for, without keeping the rows.
//!
//! Incremental PCA (Ross et al. 2008, <https://doi.org/10.1007/s11263-007-0075-7>): what was found so far stands for the rows before, as
//! one row per component, and another one carries how far the mean moved. Their singular vectors are found by subspace iteration (Halko et al.
//! 2011, <https://doi.org/10.1137/090771806>): products on the device, bases of `[d, 2 k]` orthonormalised on the host in f64.

use burn::tensor::{DType, Tensor, TensorData};
use faer::Mat;
use peft_core::{init, read, read_number};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// How often the subspace is multiplied by the rows and back; PEFT's number.
const ITERATIONS: usize = 4;

/// The components of the rows so far.
pub(crate) struct Components {
    rows: f64,
    /// `[1, d]`.
    mean: Tensor<2>,
    /// Sum of squared distances from the mean.
    squares: f64,
    /// In falling order.
    singular: Vec<f64>,
    /// One in each row, orthonormal, its largest entry positive: `[k, d]`.
    vectors: Tensor<2>,
    /// Of each, the cosine with what it was a batch before; none after the first batch.
    similar: Vec<f64>,
}

impl Components {
    /// The first `k` components of the rows before and of `x [rows, d]`, at least as many rows.
    ///
    /// # Errors
    /// What is wrong with the rows.
    pub(crate) fn after(
        before: Option<Self>,
        x: Tensor<2>,
        k: usize,
        seed: u64,
    ) -> Result<Self, &'static str> {
        let count = x.dims()[0] as f64;
        let mean = x.clone().mean_dim(0);
        let centred = x - mean.clone();
        let within = squares(&centred);
        let Some(before) = before else {
            let (singular, vectors) = leading(centred, k, seed)?;
            return Ok(Self {
                rows: count,
                mean,
                squares: within,
                singular,
                vectors,
                similar: Vec::new(),
            });
        };
        let rows = before.rows + count;
        let weight = (before.rows * count / rows).sqrt();
        let moved = (before.mean.clone() - mean.clone()).mul_scalar(weight);
        let device = centred.device();
        let lengths: Vec<f32> = before.singular.iter().map(|value| *value as f32).collect();
        let found = lengths.len();
        let lengths = TensorData::new(lengths, [found, 1]);
        let lengths = Tensor::<2>::from_data(lengths, (&device, DType::F32));
        let between = squares(&moved);
        let stack = Tensor::cat(vec![before.vectors.clone() * lengths, centred, moved], 0);
        let (singular, vectors) = leading(stack, k, seed)?;
        // There may be more than before.
        let same = vectors.clone().narrow(0, 0, found);
        let cosines = (same * before.vectors).sum_dim(1);
        Ok(Self {
            rows,
            mean: (before.mean.mul_scalar(before.rows) + mean.mul_scalar(count)).div_scalar(rows),
            squares: before.squares + within + between,
            singular,
            vectors,
            similar: read(cosines).iter::<f64>().collect(),
        })
    }

    /// Which share of the variance each explains.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let all = self.squares.max(f64::MIN_POSITIVE);
        self.singular
            .iter()
            .map(|value| value * value / all)
            .collect()
    }

    /// Whether the first `count` of them were much the same a batch before.
    pub(crate) fn have_settled(&self, count: usize, similarity: f64) -> bool {
        let first = self.similar.get(..count);
        first.is_some_and(|first| first.iter().all(|value| *value >= similarity))
    }

    /// The first `count` of them side by side, `[d, count]`; each divided by the root of its singular value where they are to be whitened.
    pub(crate) fn directions(&self, count: usize, whiten: bool) -> TensorData {
        let d = self.vectors.dims()[1];
        let vectors: Vec<f32> = read(self.vectors.clone()).iter::<f32>().collect();
        let factor = |j: usize| match whiten && self.singular[j] > 0.0 {
            true => self.singular[j].sqrt().recip(),
            false => 1.0,
        };
        let values: Vec<f32> = (0..d * count)
            .map(|at| (f64::from(vectors[at % count * d + at / count]) * factor(at % count)) as f32)
            .collect();
        TensorData::new(values, [d, count])
    }
}

fn squares(x: &Tensor<2>) -> f64 {
    read_number(x.clone().powi_scalar(2).sum())
}

/// The first `k` singular values of `rows [n, d]` and their right singular vectors `[k, d]`; `k` at most `n` and `d`.
fn leading(rows: Tensor<2>, k: usize, seed: u64) -> Result<(Vec<f64>, Tensor<2>), &'static str> {
    let [n, d] = rows.dims();
    let width = (2 * k).min(n).min(d);
    let device = rows.device();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let start = init::gaussian(d, width, 1.0, &mut rng);
    let mut basis = Tensor::<2>::from_data(start, (&device, DType::F32));
    for _ in 0..ITERATIONS {
        let there = rows.clone().matmul(basis);
        let back = rows.clone().transpose().matmul(there);
        let orthonormal = finite(back)?.qr().compute_thin_Q();
        basis = tensor(&orthonormal, &device);
    }
    let small = finite(rows.matmul(basis.clone()))?;
    let svd = small
        .thin_svd()
        .map_err(|_| "its singular value decomposition does not converge")?;
    let singular = svd.S().column_vector().iter().take(k).copied().collect();
    let turn = tensor(&svd.V().subcols(0, k).to_owned(), &device);
    Ok((singular, signed(basis.matmul(turn).transpose())))
}

/// The same rows, each with the sign that makes its largest entry positive.
fn signed(vectors: Tensor<2>) -> Tensor<2> {
    let [count, d] = vectors.dims();
    let values: Vec<f32> = read(vectors.clone()).iter::<f32>().collect();
    let sign = |row: &[f32]| {
        let largest = row
            .iter()
            .copied()
            .max_by(|a, b| a.abs().total_cmp(&b.abs()));
        1.0f32.copysign(largest.unwrap_or(1.0))
    };
    let signs: Vec<f32> = values.chunks(d).map(sign).collect();
    let device = vectors.device();
    let signs = Tensor::<2>::from_data(TensorData::new(signs, [count, 1]), (&device, DType::F32));
    vectors * signs
}

fn finite(matrix: Tensor<2>) -> Result<Mat<f64>, &'static str> {
    let [rows, columns] = matrix.dims();
    let values: Vec<f32> = read(matrix).iter::<f32>().collect();
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(Mat::from_fn(rows, columns, |i, j| {
            f64::from(values[i * columns + j])
        })),
        false => Err("it holds values that are NaN or infinite, or too large to multiply"),
    }
}

fn tensor(matrix: &Mat<f64>, device: &burn::tensor::Device) -> Tensor<2> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    let values: Vec<f32> = (0..rows * columns)
        .map(|at| matrix[(at / columns, at % columns)] as f32)
        .collect();
    Tensor::from_data(
        TensorData::new(values, [rows, columns]),
        (device, DType::F32),
    )
}
