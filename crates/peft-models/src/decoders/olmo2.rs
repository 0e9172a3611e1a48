//! OLMo 2 (OLMo Team 2024, arXiv 2501.00656): Llama's layers with norms of what attention and MLP give rather than of what they get, and of all
//! queries and all keys of a token together.

use crate::decoder_config::{
    Biases, DecoderBlockNames, DecoderConfig, DecoderFamily, Norms, QueryKeyNorm,
};
use crate::error::ModelError;
use crate::hf::ModelConfig;

use super::llama::{BLOCK, LLAMA};
use super::usual::{ABSENT, Absent, biases, usual};

const fn after(name: &'static str) -> Norms {
    Norms {
        before: None,
        after: Some(name),
    }
}

/// OLMo 2.
pub(crate) static FAMILY: DecoderFamily = DecoderFamily {
    model_types: &["olmo2"],
    block: DecoderBlockNames {
        attention_norms: after("post_attention_layernorm"),
        mlp_norms: after("post_feedforward_layernorm"),
        ..BLOCK
    },
    read,
    ..LLAMA
};

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    let absent = Absent {
        eps: 1e-5,
        ..ABSENT
    };
    let biases = Biases {
        mlp: false,
        ..biases(config)?
    };
    Ok(DecoderConfig {
        biases,
        query_key_norm: Some(QueryKeyNorm::Whole),
        ..usual(config, absent)?
    })
}
