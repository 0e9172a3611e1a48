//! One vector per sequence from the hidden states of its tokens.

use burn::tensor::Tensor;

use crate::batch::TokenBatch;

/// How tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over the tokens that are not padding.
    Mean,
    /// The first token.
    Cls,
}

impl Pooling {
    /// Pools `hidden [batch, seq, d_model]` to `[batch, d_model]`.
    #[must_use]
    pub fn forward(self, hidden: Tensor<3>, batch: &TokenBatch) -> Tensor<2> {
        match (self, &batch.mask) {
            (Self::Cls, _) => first_token(hidden),
            (Self::Mean, None) => hidden.mean_dim(1).squeeze_dim(1),
            (Self::Mean, Some(mask)) => {
                let keep = mask.clone().bool_not().float(); // [batch, seq]
                let share = keep.clone() / keep.sum_dim(1);
                share.unsqueeze_dim::<3>(1).matmul(hidden).squeeze_dim(1)
            }
        }
    }
}

/// Scales every row of `x [rows, d]` to Euclidean length 1; a row of zeros stays zero.
#[must_use]
pub fn l2_normalized(x: Tensor<2>) -> Tensor<2> {
    let length = x.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(1e-12);
    x / length
}

/// The hidden state of each row's first token, `[batch, d_model]`.
pub(crate) fn first_token(hidden: Tensor<3>) -> Tensor<2> {
    hidden.narrow(1, 0, 1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_mean_leaves_padding_out_and_normalised_rows_have_length_one() {
        let device = Device::flex();
        let batch = TokenBatch::new(&[vec![1, 2], vec![3]], None, 0, &device).unwrap();
        let hidden =
            Tensor::<3>::from_floats([[[1., 2.], [3., 6.]], [[3., 4.], [9., 9.]]], &device);
        let mean = Pooling::Mean.forward(hidden.clone(), &batch);
        assert_eq!(
            mean.clone().into_data().iter::<f32>().collect::<Vec<_>>(),
            [2., 4., 3., 4.]
        );
        let cls = Pooling::Cls.forward(hidden, &batch);
        assert_eq!(
            cls.into_data().iter::<f32>().collect::<Vec<_>>(),
            [1., 2., 3., 4.]
        );
        let unit: Vec<f32> = l2_normalized(mean).into_data().iter::<f32>().collect();
        assert!((unit[2] - 0.6).abs() < 1e-6 && (unit[3] - 0.8).abs() < 1e-6);
    }
}
