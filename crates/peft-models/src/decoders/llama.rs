//! Llama (Touvron et al., arXiv 2302.13971, 2307.09288) and what is built like it: Mistral (arXiv 2310.06825), Qwen2 (arXiv
//! 2407.10671), Qwen3 (arXiv 2505.09388), SmolLM.

use crate::decoder_config::{
    Biases, DecoderBlockNames, DecoderConfig, DecoderFamily, MlpNames, NormKind, Norms,
    QueryKeyNorm,
};
use crate::error::ModelError;
use crate::hf::ModelConfig;

use super::usual::{ABSENT, biases, usual};
use super::windows::{sliding, windows};

/// Names of a block's layers.
pub(super) const BLOCK: DecoderBlockNames = DecoderBlockNames {
    attention_norms: Norms::before("input_layernorm"),
    projections: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    query_key_norms: ["self_attn.q_norm", "self_attn.k_norm"],
    output: "self_attn.o_proj",
    mlp_norms: Norms::before("post_attention_layernorm"),
    mlp: MlpNames::Gated(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]),
};

/// Llama, Mistral, Qwen2 and Qwen3: they differ in biases, windows and norms of queries and keys.
pub(super) const LLAMA: DecoderFamily = DecoderFamily {
    model_types: &["llama", "mistral", "qwen2", "qwen3"],
    prefix: "model",
    words: "embed_tokens",
    positions: None,
    blocks: "layers",
    block: BLOCK,
    norm: "norm",
    norms: NormKind::Rms,
    default_targets: &["q_proj", "v_proj"],
    read,
};

/// See [`LLAMA`].
pub(crate) static FAMILY: DecoderFamily = LLAMA;

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    let kind = config.model_type();
    for field in ["pretraining_tp", "partial_rotary_factor"] {
        config.require(field, |value| value.as_f64() == Some(1.0), "1")?;
    }
    let usual = usual(config, ABSENT)?;
    let given = biases(config)?;
    Ok(DecoderConfig {
        windows: windows(config, &windowed(config, usual.layers)?, None)?,
        biases: match kind {
            // Qwen2's projections always have biases, which its files do not mention.
            "qwen2" => Biases {
                projections: true,
                output: false,
                mlp: false,
            },
            _ => Biases {
                mlp: given.mlp && kind == "llama",
                ..given
            },
        },
        query_key_norm: (kind == "qwen3").then_some(QueryKeyNorm::Heads),
        ..usual
    })
}

/// Which blocks have a window. Mistral's holds for every block; Qwen's for those from `max_window_layers` on, and only with
/// `use_sliding_window`; newer files list the type of each block.
fn windowed(config: &ModelConfig, layers: usize) -> Result<Vec<bool>, ModelError> {
    let kind = config.model_type();
    let qwen = kind.starts_with("qwen");
    let unused = qwen && !config.bool_or("use_sliding_window", false)?;
    if kind == "llama" || config.present("sliding_window").is_none() || unused {
        return Ok(vec![false; layers]);
    }
    let first = match qwen {
        true => config.usize_or("max_window_layers", 28)?,
        false => 0,
    };
    sliding(config, layers, |index| index >= first)
}
