//! One transformer block of a decoder: attention and MLP, each with norms and with a residual around it.

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::{AdaptedLinear, Pass};

use super::causal_attention::{AttentionContext, CausalAttention, Heads};
use super::gated_mlp::GatedMlp;
use super::mlp::Mlp;
use super::norm::Norm;
use crate::decoder_config::{
    DecoderConfig, DecoderFamily, MlpNames, NormKind, Norms, QueryKeyNorm,
};
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

/// `h = x + s dropout(after(attention(before(x))))`, then the same with the MLP and norms of its own. Most families have no norms after,
/// some none before; the factor `s` is 1 in most.
#[derive(Module, Debug)]
pub struct DecoderBlock {
    /// Before attention.
    pub attention_norm: Option<Norm>,
    /// Causal self-attention.
    pub attention: CausalAttention,
    /// After attention.
    pub attention_post_norm: Option<Norm>,
    /// Before the MLP.
    pub mlp_norm: Option<Norm>,
    /// The MLP.
    pub mlp: FeedForward,
    /// After the MLP.
    pub mlp_post_norm: Option<Norm>,
    dropout: f64,
    residual_scale: f64,
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
        let [attention_norm, attention_post_norm] =
            norms(reader, path, names.attention_norms, family, config);
        let attention = attention(reader, path, family, config);
        let [mlp_norm, mlp_post_norm] = norms(reader, path, names.mlp_norms, family, config);
        Self {
            attention_norm,
            attention,
            attention_post_norm,
            mlp_norm,
            mlp: feed_forward(reader, path, family, config),
            mlp_post_norm,
            dropout: config.residual_dropout,
            residual_scale: config.scales.residual,
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
        let attended =
            self.attention
                .forward(normed(&self.attention_norm, x.clone()), context, pass);
        let x = self.added(x, normed(&self.attention_post_norm, attended), pass);
        let input = normed(&self.mlp_norm, x.clone());
        let output = match &self.mlp {
            FeedForward::Gated(mlp) => mlp.forward(input, pass),
            FeedForward::Plain(mlp) => mlp.forward(input, pass),
        };
        self.added(x, normed(&self.mlp_post_norm, output), pass)
    }

    fn added(&self, x: Tensor<2>, output: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let output = pass.dropout(output, self.dropout);
        match self.residual_scale {
            1.0 => x + output,
            scale => x + output.mul_scalar(scale),
        }
    }

    /// The linear layers in the order of the model.
    pub fn linears(&self) -> impl Iterator<Item = &AdaptedLinear> {
        let mlp: Vec<_> = match &self.mlp {
            FeedForward::Gated(mlp) => mlp.linears().collect(),
            FeedForward::Plain(mlp) => vec![&mlp.up, &mlp.down],
        };
        self.attention.linears().chain(mlp)
    }

    /// The linear layers, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut AdaptedLinear> {
        let mlp: Vec<_> = match &mut self.mlp {
            FeedForward::Gated(mlp) => mlp.linears_mut().collect(),
            FeedForward::Plain(mlp) => vec![&mut mlp.up, &mut mlp.down],
        };
        self.attention.linears_mut().chain(mlp)
    }
}

fn normed(norm: &Option<Norm>, x: Tensor<2>) -> Tensor<2> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

/// Reads the family's norm at `path`.
pub(crate) fn norm(
    reader: &mut WeightReader,
    path: &str,
    family: &DecoderFamily,
    config: &DecoderConfig,
) -> Norm {
    let (d, eps) = (config.d_model, config.eps);
    match family.norms {
        NormKind::Layer => Norm::Layer(reader.layer_norm(path, d, eps)),
        kind => Norm::Rms(reader.rms_norm(path, d, offset(kind), eps)),
    }
}

/// What files hold scales less of.
fn offset(kind: NormKind) -> f64 {
    match kind {
        NormKind::Layer | NormKind::Rms => 0.0,
        NormKind::RmsFromOne => 1.0,
    }
}

/// The norms before and after attention or the MLP.
fn norms(
    reader: &mut WeightReader,
    path: &str,
    names: Norms,
    family: &DecoderFamily,
    config: &DecoderConfig,
) -> [Option<Norm>; 2] {
    [names.before, names.after]
        .map(|name| name.map(|name| norm(reader, &format!("{path}.{name}"), family, config)))
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
    let norms = config.query_key_norm.map(|together| {
        let widths = match together {
            QueryKeyNorm::Heads => [config.d_head; 2],
            QueryKeyNorm::Whole => [widths[0], widths[1]],
        };
        let mut norm = |at: usize| {
            let path = format!("{path}.{}", names.query_key_norms[at]);
            reader.rms_norm(&path, widths[at], offset(family.norms), config.eps)
        };
        (norm(0), norm(1))
    });
    CausalAttention::new(projections, output, norms, Heads::of(config))
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
    let (names, down) = family.block.mlp.layers(d_ff);
    let mut up: Vec<AdaptedLinear> = names
        .into_iter()
        .map(|(name, width)| layer(name, d, width))
        .collect();
    let down = layer(down, d_ff, d);
    match family.block.mlp {
        MlpNames::Plain(_) => {
            FeedForward::Plain(Mlp::new(up.swap_remove(0), down, config.activation))
        }
        _ => FeedForward::Gated(GatedMlp::new(up, down, config.activation)),
    }
}
