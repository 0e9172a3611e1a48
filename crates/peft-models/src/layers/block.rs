//! One post-norm transformer block: attention and MLP, each with residual and layer norm after it.

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::{AdaptedLinear, Pass};

use super::attention::Attention;
use super::mlp::Mlp;
use super::norm::LayerNorm;
use crate::encoder_config::EncoderConfig;
use crate::hf::WeightReader;

/// Names of a block's layers below the block.
#[derive(Debug, Clone, Copy)]
pub struct BlockNames {
    /// Query, key, value and output projections.
    pub attention: [&'static str; 4],
    /// Layer norm after attention.
    pub attention_norm: &'static str,
    /// First layer of the MLP.
    pub up: &'static str,
    /// Second layer of the MLP.
    pub down: &'static str,
    /// Layer norm after the MLP.
    pub output_norm: &'static str,
}

/// `h = norm(x + dropout(attention(x)))`, `y = norm(h + dropout(mlp(h)))`.
#[derive(Module, Debug)]
pub struct Block {
    /// Self-attention.
    pub attention: Attention,
    /// After attention.
    pub attention_norm: LayerNorm,
    /// The MLP.
    pub mlp: Mlp,
    /// After the MLP.
    pub output_norm: LayerNorm,
    attention_output_dropout: f64,
    mlp_output_dropout: f64,
}

impl Block {
    /// Reads the block at `path`.
    #[must_use]
    pub fn load(
        reader: &mut WeightReader,
        path: &str,
        names: &BlockNames,
        config: &EncoderConfig,
    ) -> Self {
        let (d, d_ff) = (config.d_model, config.d_ff);
        let projections = names
            .attention
            .map(|name| reader.linear(&format!("{path}.{name}"), d, d));
        let attention_norm =
            reader.layer_norm(&format!("{path}.{}", names.attention_norm), d, config.eps);
        let up = reader.linear(&format!("{path}.{}", names.up), d, d_ff);
        let down = reader.linear(&format!("{path}.{}", names.down), d_ff, d);
        Self {
            attention: Attention::new(projections, config.heads, config.attention_dropout),
            attention_norm,
            mlp: Mlp::new(up, down, config.activation),
            output_norm: reader.layer_norm(&format!("{path}.{}", names.output_norm), d, config.eps),
            attention_output_dropout: config.attention_output_dropout,
            mlp_output_dropout: config.hidden_dropout,
        }
    }

    /// Applies the block; shapes as [`Attention::forward`].
    #[must_use]
    pub fn forward(
        &self,
        x: Tensor<2>,
        seq: usize,
        bias: Option<&Tensor<4>>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let attended = self.attention.forward(x.clone(), seq, bias, pass);
        let attended = pass.dropout(attended, self.attention_output_dropout);
        let x = self.attention_norm.forward(attended + x);
        let output = self.mlp.forward(x.clone(), pass);
        let output = pass.dropout(output, self.mlp_output_dropout);
        self.output_norm.forward(output + x)
    }

    /// The six linear layers: query, key, value, output, up, down.
    pub fn linears(&self) -> impl Iterator<Item = &AdaptedLinear> {
        self.attention
            .linears()
            .into_iter()
            .chain([&self.mlp.up, &self.mlp.down])
    }

    /// The six linear layers, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut AdaptedLinear> {
        self.attention
            .linears_mut()
            .into_iter()
            .chain([&mut self.mlp.up, &mut self.mlp.down])
    }
}
