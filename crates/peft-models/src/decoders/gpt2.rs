//! GPT-2 (Radford et al. 2019): a table of positions, layer norms, and `Conv1D` layers, whose files hold `[d_in, d_out]`.

use peft_core::SiteKind;

use crate::decoder_config::{
    Biases, DecoderBlockNames, DecoderConfig, DecoderFamily, MlpNames, NormKind, Norms, Scales,
    d_head,
};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::Activation;

/// GPT-2.
pub(crate) static FAMILY: DecoderFamily = DecoderFamily {
    model_types: &["gpt2"],
    prefix: "transformer",
    words: "wte",
    positions: Some("wpe"),
    blocks: "h",
    block: DecoderBlockNames {
        attention_norms: Norms::before("ln_1"),
        projections: &["attn.c_attn"],
        query_key_norms: ["", ""],
        output: "attn.c_proj",
        mlp_norms: Norms::before("ln_2"),
        mlp: MlpNames::Plain(["mlp.c_fc", "mlp.c_proj"]),
    },
    norm: "ln_f",
    norms: NormKind::Layer,
    default_targets: &["c_attn"],
    read,
};

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    let (d_model, heads) = (config.positive("n_embd")?, config.positive("n_head")?);
    let layers = config.layers("n_layer")?;
    let d_head = d_head(config, "n_head", d_model, heads)?;
    config.require("scale_attn_weights", |value| value == true, "true")?;
    config.require(
        "scale_attn_by_inverse_layer_idx",
        |value| value == false,
        "false",
    )?;
    DecoderConfig {
        vocab_size: config.positive("vocab_size")?,
        d_model,
        layers,
        heads,
        kv_heads: heads,
        d_head,
        d_ff: config
            .usize_or("n_inner", d_model.saturating_mul(4))?
            .max(1),
        activation: Activation::from_config(config, "activation_function", "gelu_new")?,
        eps: config.f64_or("layer_norm_epsilon", 1e-5)?,
        ropes: vec![],
        max_positions: config.positive("n_positions")?,
        windows: vec![None; layers],
        rope_of: vec![None; layers],
        biases: Biases {
            projections: true,
            output: true,
            mlp: true,
        },
        query_key_norm: None,
        scales: Scales::usual(d_head),
        attention_cap: None,
        logit_cap: None,
        tied: config.bool_or("tie_word_embeddings", true)?,
        kind: SiteKind::Conv1d,
        embedding_dropout: config.probability_or("embd_pdrop", 0.1)?,
        attention_dropout: config.probability_or("attn_pdrop", 0.1)?,
        residual_dropout: config.probability_or("resid_pdrop", 0.1)?,
        initializer_range: config.f64_or("initializer_range", 0.02)?,
    }
    .checked(config)
}
