//! Multi-head self-attention over padded sequences.

use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use peft_core::{AdaptedLinear, Pass, cast};
use peft_kernels::AttentionMask;

/// What is added to the scores of keys that are not to be seen: `exp` of it is 0 in every float type, and it fits into every one.
const UNSEEN: f32 = -3.0e4;

/// Scores to add per sequence and key, shape `[batch, 1, 1, seq]`: 0 for tokens, very negative for padding (`true`).
#[must_use]
pub fn attention_bias(padding: &Tensor<2, Bool>) -> Tensor<4> {
    let [batch, seq] = padding.dims();
    padding
        .clone()
        .float()
        .mul_scalar(UNSEEN)
        .reshape([batch, 1, 1, seq])
}

/// `softmax(Q K^T / sqrt(d_head) + bias) V`, heads side by side, then the output projection.
#[derive(Module, Debug)]
pub struct Attention {
    /// `d_model` to `d_model`, as are the other three.
    pub query: AdaptedLinear,
    /// Keys.
    pub key: AdaptedLinear,
    /// Values.
    pub value: AdaptedLinear,
    /// Joins the heads.
    pub output: AdaptedLinear,
    heads: usize,
    dropout: f64,
}

impl Attention {
    /// Attention of `heads` heads; `dropout` is applied to the attention weights.
    #[must_use]
    pub fn new(
        [query, key, value, output]: [AdaptedLinear; 4],
        heads: usize,
        dropout: f64,
    ) -> Self {
        Self {
            query,
            key,
            value,
            output,
            heads,
            dropout,
        }
    }

    /// Attends within each sequence.
    ///
    /// # Shapes
    /// `x [batch * seq, d_model]`, sequences of `seq` rows after one another; `bias [batch, 1, 1, seq]`, absent when
    /// the batch has no padding; output `[batch * seq, d_model]`.
    #[must_use]
    pub fn forward(
        &self,
        x: Tensor<2>,
        seq: usize,
        bias: Option<&Tensor<4>>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let [rows, d_model] = x.dims();
        let d_head = d_model / self.heads;
        let split = |y: Tensor<2>| {
            y.reshape([rows / seq, seq, self.heads, d_head])
                .swap_dims(1, 2)
        };
        #[expect(clippy::cast_precision_loss, reason = "head widths are small numbers")]
        let scale = 1.0 / (d_head as f64).sqrt();
        let query = split(self.query.forward(x.clone(), pass));
        let key = split(self.key.forward(x.clone(), pass));
        let value = split(self.value.forward(x, pass));
        let how = peft_kernels::Attention {
            scale,
            cap: None,
            mask: bias.map(|bias| AttentionMask::Bias(cast(bias.clone(), query.dtype()))),
            dropout: pass.mask(self.dropout),
        };
        let joined = peft_kernels::attention(query, key, value, how)
            .swap_dims(1, 2)
            .reshape([rows, d_model]);
        self.output.forward(joined, pass)
    }

    /// The four layers: query, key, value, output.
    #[must_use]
    pub fn linears(&self) -> [&AdaptedLinear; 4] {
        [&self.query, &self.key, &self.value, &self.output]
    }

    /// The four layers, to be changed.
    #[must_use]
    pub fn linears_mut(&mut self) -> [&mut AdaptedLinear; 4] {
        [
            &mut self.query,
            &mut self.key,
            &mut self.value,
            &mut self.output,
        ]
    }
}
