//! BERT (Devlin et al., arXiv 1810.04805): names and configuration.

use crate::encoder_config::{EncoderConfig, Numbering};
use crate::encoder_family::{Family, HeadModule, HeadNames};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::{Activation, BlockNames, EmbeddingNames};

/// Names of a block, shared with RoBERTa.
pub(crate) const BLOCK: BlockNames = BlockNames {
    attention: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
    ],
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

/// Names of the embeddings, shared with RoBERTa.
pub(crate) const EMBEDDINGS: EmbeddingNames = EmbeddingNames {
    words: "embeddings.word_embeddings",
    positions: "embeddings.position_embeddings",
    types: Some("embeddings.token_type_embeddings"),
    norm: "embeddings.LayerNorm",
};

/// BERT: the head is the pooler of the base model, then a classifier.
pub(crate) static FAMILY: Family = Family {
    model_types: &["bert"],
    prefix: "bert",
    embeddings: EMBEDDINGS,
    blocks: "encoder.layer",
    block: BLOCK,
    head: HeadNames {
        dense: "bert.pooler.dense",
        output: "classifier",
        activation: Activation::Tanh,
        input_dropout: false,
        modules: &[
            HeadModule {
                name: "pooler",
                path: "bert.pooler",
                only_when_fresh: true,
            },
            HeadModule {
                name: "classifier",
                path: "classifier",
                only_when_fresh: false,
            },
        ],
    },
    classifier_class: "BertForSequenceClassification",
    default_targets: &["query", "value"],
    read,
};

fn read(config: &ModelConfig) -> Result<EncoderConfig, ModelError> {
    read_common(config, 1e-12, 0, |_| Numbering::FromZero)
}

/// Reads the fields that BERT and RoBERTa spell alike.
pub(crate) fn read_common(
    config: &ModelConfig,
    eps: f64,
    pad_id: usize,
    numbering: impl FnOnce(usize) -> Numbering,
) -> Result<EncoderConfig, ModelError> {
    let pad_id = config.usize_or("pad_token_id", pad_id)?;
    let hidden_dropout = config.probability_or("hidden_dropout_prob", 0.1)?;
    EncoderConfig {
        vocab_size: config.positive("vocab_size")?,
        d_model: config.positive("hidden_size")?,
        layers: config.layers("num_hidden_layers")?,
        heads: config.positive("num_attention_heads")?,
        d_ff: config.positive("intermediate_size")?,
        activation: Activation::from_config(config, "hidden_act", "gelu")?,
        max_positions: config.positive("max_position_embeddings")?,
        token_types: config.positive("type_vocab_size")?,
        numbering: numbering(pad_id),
        eps: config.f64_or("layer_norm_eps", eps)?,
        hidden_dropout,
        attention_dropout: config.probability_or("attention_probs_dropout_prob", 0.1)?,
        attention_output_dropout: hidden_dropout,
        classifier_dropout: config.probability_or("classifier_dropout", hidden_dropout)?,
        pad_id,
        initializer_range: config.f64_or("initializer_range", 0.02)?,
    }
    .checked(config, "num_attention_heads")
}
