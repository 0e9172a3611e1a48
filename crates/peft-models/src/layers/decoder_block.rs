//! One pre-norm transformer block: attention and MLP, each with a norm before it and a residual around both.

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::{AdaptedLinear, Pass};

use super::causal_attention::{AttentionContext, CausalAttention};
use super::gated_mlp::GatedMlp;
use super::mlp::Mlp;
use super::norm::Norm;
use crate::decoder_config::{DecoderConfig, DecoderFamily};
use crate::hf::WeightReader;

/// The MLP of a decoder family.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a block has one, and a box is no module"
)]
pub enum FeedForward {
    /// With a gate.
    Gated(GatedMlp),
    /// Two layers.
    Plain(Mlp),
}

/// `h = x + dropout(attention(norm(x)))`, `y = h + dropout(mlp(norm(h)))`.
#[derive(Module, Debug)]
pub struct DecoderBlock {
    /// Before attention.
    pub attention_norm: Norm,
    /// Causal self-attention.
    pub attention: CausalAttention,
    /// Before the MLP.
    pub mlp_norm: Norm,
    /// The MLP.
    pub mlp: FeedForward,
    dropout: f64,
}

impl DecoderBlock {
    /// Reads the block at `path`.
    #[must_use]
    pub fn load(
        reader: &mut WeightReader,
        path: &str,
        family: &DecoderFamily,
        config: &DecoderConfig,
    ) -> Self {
        let names = &family.block;
        let attention_norm = norm(
            reader,
            &format!("{path}.{}", names.attention_norm),
            family,
            config,
        );
        let attention = attention(reader, path, family, config);
        let mlp_norm = norm(
            reader,
            &format!("{path}.{}", names.mlp_norm),
            family,
            config,
        );
        Self {
            attention_norm,
            attention,
            mlp_norm,
            mlp: feed_forward(reader, path, family, config),
            dropout: config.residual_dropout,
        }
    }

    /// Applies the block to `x [batch * seq, d_model]`.
    #[must_use]
    pub fn forward(
        &self,
        x: Tensor<2>,
        context: AttentionContext<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let normed = self.attention_norm.forward(x.clone());
        let attended = self.attention.forward(normed, context, pass);
        let x = x + pass.dropout(attended, self.dropout);
        let normed = self.mlp_norm.forward(x.clone());
        let output = match &self.mlp {
            FeedForward::Gated(mlp) => mlp.forward(normed, pass),
            FeedForward::Plain(mlp) => mlp.forward(normed, pass),
        };
        x + pass.dropout(output, self.dropout)
    }

    /// The linear layers in the order of the model.
    pub fn linears(&self) -> impl Iterator<Item = &AdaptedLinear> {
        let mlp = match &self.mlp {
            FeedForward::Gated(mlp) => vec![&mlp.gate, &mlp.up, &mlp.down],
            FeedForward::Plain(mlp) => vec![&mlp.up, &mlp.down],
        };
        self.attention.linears().chain(mlp)
    }

    /// The linear layers, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut AdaptedLinear> {
        let mlp = match &mut self.mlp {
            FeedForward::Gated(mlp) => vec![&mut mlp.gate, &mut mlp.up, &mut mlp.down],
            FeedForward::Plain(mlp) => vec![&mut mlp.up, &mut mlp.down],
        };
        self.attention.linears_mut().chain(mlp)
    }
}

/// Reads the family's norm at `path`.
pub(crate) fn norm(
    reader: &mut WeightReader,
    path: &str,
    family: &DecoderFamily,
    config: &DecoderConfig,
) -> Norm {
    if family.layer_norms {
        Norm::Layer(reader.layer_norm(path, config.d_model, config.eps))
    } else {
        Norm::Rms(reader.rms_norm(path, config.d_model, config.eps))
    }
}

fn attention(
    reader: &mut WeightReader,
    path: &str,
    family: &DecoderFamily,
    config: &DecoderConfig,
) -> CausalAttention {
    let names = &family.block;
    let (d, biases) = (config.d_model, config.biases);
    let widths = [config.heads, config.kv_heads, config.kv_heads].map(|n| n * config.d_head);
    let mut layer = |name: &str, d_in, d_out, bias| {
        reader.linear_of(&format!("{path}.{name}"), [d_in, d_out], config.kind, bias)
    };
    let projections = match names.projections {
        [all] => vec![layer(all, d, widths.iter().sum(), biases.projections)],
        several => several
            .iter()
            .zip(widths)
            .map(|(name, width)| layer(name, d, width, biases.projections))
            .collect(),
    };
    let output = layer(names.output, widths[0], d, biases.output);
    let norms = config.query_key_norm.then(|| {
        let [query, key] = names
            .query_key_norms
            .map(|name| reader.rms_norm(&format!("{path}.{name}"), config.d_head, config.eps));
        (query, key)
    });
    CausalAttention::new(
        projections,
        output,
        norms,
        [config.heads, config.kv_heads, config.d_head],
        config.attention_dropout,
    )
}

fn feed_forward(
    reader: &mut WeightReader,
    path: &str,
    family: &DecoderFamily,
    config: &DecoderConfig,
) -> FeedForward {
    let (d, d_ff) = (config.d_model, config.d_ff);
    let mut layer = |name: &str, d_in, d_out| {
        let path = format!("{path}.{name}");
        reader.linear_of(&path, [d_in, d_out], config.kind, config.biases.mlp)
    };
    match family.block.mlp {
        [up, down] => FeedForward::Plain(Mlp::new(
            layer(up, d, d_ff),
            layer(down, d_ff, d),
            config.activation,
        )),
        names => FeedForward::Gated(GatedMlp::new(
            [
                layer(names[0], d, d_ff),
                layer(names[1], d, d_ff),
                layer(names[2], d_ff, d),
            ],
            config.activation,
        )),
    }
}
