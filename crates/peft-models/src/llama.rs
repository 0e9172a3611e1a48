//! Llama (Touvron et al., arXiv 2302.13971, 2307.09288) and what is built like it: Mistral (arXiv 2310.06825), Qwen2 (arXiv
//! 2407.10671), Qwen3 (arXiv 2505.09388), SmolLM.

use peft_core::SiteKind;
use serde_json::Value;

use crate::decoder_config::{Biases, DecoderBlockNames, DecoderConfig, DecoderFamily, d_head};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::{Activation, Rope};

const BLOCK: DecoderBlockNames = DecoderBlockNames {
    attention_norm: "input_layernorm",
    projections: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    query_key_norms: ["self_attn.q_norm", "self_attn.k_norm"],
    output: "self_attn.o_proj",
    mlp_norm: "post_attention_layernorm",
    mlp: &["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
};

/// Llama, Mistral, Qwen2 and Qwen3: they differ in biases, windows and norms of queries and keys.
pub(crate) static FAMILY: DecoderFamily = DecoderFamily {
    model_types: &["llama", "mistral", "qwen2", "qwen3"],
    prefix: "model",
    words: "embed_tokens",
    positions: None,
    blocks: "layers",
    block: BLOCK,
    norm: "norm",
    layer_norms: false,
    default_targets: &["q_proj", "v_proj"],
    read,
};

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    let (d_model, heads) = (
        config.positive("hidden_size")?,
        config.positive("num_attention_heads")?,
    );
    let layers = config.layers("num_hidden_layers")?;
    let d_head = d_head(config, "num_attention_heads", d_model, heads)?;
    let kind = config.model_type();
    // Qwen2's projections always have biases, which its files do not mention.
    let attention_bias = kind != "qwen2" && config.bool_or("attention_bias", false)?;
    for field in ["pretraining_tp", "partial_rotary_factor"] {
        config.require(field, |value| value.as_f64() == Some(1.0), "1")?;
    }
    DecoderConfig {
        vocab_size: config.positive("vocab_size")?,
        d_model,
        layers,
        heads,
        kv_heads: config.usize_or("num_key_value_heads", heads)?.max(1),
        d_head,
        d_ff: config.positive("intermediate_size")?,
        activation: Activation::from_config(config, "hidden_act", "silu")?,
        eps: config.f64_or("rms_norm_eps", 1e-6)?,
        rope: Some(Rope::from_config(config, d_head)?),
        max_positions: config.usize_or("max_position_embeddings", 2048)?,
        windows: windows(config, layers)?,
        biases: Biases {
            projections: kind == "qwen2" || attention_bias,
            output: attention_bias,
            mlp: kind == "llama" && config.bool_or("mlp_bias", false)?,
        },
        query_key_norm: kind == "qwen3",
        tied: config.bool_or("tie_word_embeddings", false)?,
        kind: SiteKind::Linear,
        embedding_dropout: 0.0,
        attention_dropout: config.probability_or("attention_dropout", 0.0)?,
        residual_dropout: 0.0,
        initializer_range: config.f64_or("initializer_range", 0.02)?,
    }
    .checked(config)
}

/// How far each block looks back. Mistral's window holds for every block; Qwen's for those from `max_window_layers` on, and only with
/// `use_sliding_window`; newer files list the type of each block.
fn windows(config: &ModelConfig, layers: usize) -> Result<Vec<Option<usize>>, ModelError> {
    let kind = config.model_type();
    let qwen = kind.starts_with("qwen");
    if kind == "llama" || config.present("sliding_window").is_none() {
        return Ok(vec![None; layers]);
    }
    if qwen && !config.bool_or("use_sliding_window", false)? {
        return Ok(vec![None; layers]);
    }
    let window = Some(config.positive("sliding_window")?);
    if let Some(types) = config.present("layer_types").and_then(Value::as_array) {
        let of = |index: usize| match types.get(index).and_then(Value::as_str) {
            Some("sliding_attention") => Ok(window),
            Some("full_attention") => Ok(None),
            _ => Err(ModelError::Field {
                path: config.path().to_path_buf(),
                field: "layer_types".to_owned(),
                expected: "sliding_attention or full_attention for every layer",
                found: types
                    .get(index)
                    .map_or("nothing".to_owned(), Value::to_string),
            }),
        };
        return (0..layers).map(of).collect();
    }
    let first = if qwen {
        config.usize_or("max_window_layers", 28)?
    } else {
        0
    };
    Ok((0..layers)
        .map(|index| window.filter(|_| index >= first))
        .collect())
}
