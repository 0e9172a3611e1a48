//! DistilBERT (Sanh et al., arXiv 1910.01108): BERT's block under other names, no token types, no pooler.

use crate::encoder_config::{EncoderConfig, Numbering};
use crate::encoder_family::{Family, HeadModule, HeadNames};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::{Activation, BlockNames, EmbeddingNames};

/// DistilBERT: the head is `pre_classifier`, then `classifier`.
pub(crate) static FAMILY: Family = Family {
    model_types: &["distilbert"],
    prefix: "distilbert",
    embeddings: EmbeddingNames {
        words: "embeddings.word_embeddings",
        positions: "embeddings.position_embeddings",
        types: None,
        norm: "embeddings.LayerNorm",
    },
    blocks: "transformer.layer",
    block: BlockNames {
        attention: [
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
        ],
        attention_norm: "sa_layer_norm",
        up: "ffn.lin1",
        down: "ffn.lin2",
        output_norm: "output_layer_norm",
    },
    head: HeadNames {
        dense: "pre_classifier",
        output: "classifier",
        activation: Activation::Relu,
        input_dropout: false,
        modules: &[
            HeadModule {
                name: "pre_classifier",
                path: "pre_classifier",
                only_when_fresh: false,
            },
            HeadModule {
                name: "classifier",
                path: "classifier",
                only_when_fresh: false,
            },
        ],
    },
    classifier_class: "DistilBertForSequenceClassification",
    default_targets: &["q_lin", "v_lin"],
    read,
};

fn read(config: &ModelConfig) -> Result<EncoderConfig, ModelError> {
    EncoderConfig {
        vocab_size: config.positive("vocab_size")?,
        d_model: config.positive("dim")?,
        layers: config.layers("n_layers")?,
        heads: config.positive("n_heads")?,
        d_ff: config.positive("hidden_dim")?,
        activation: Activation::from_config(config, "activation", "gelu")?,
        max_positions: config.positive("max_position_embeddings")?,
        token_types: 0,
        numbering: Numbering::FromZero,
        eps: 1e-12,
        hidden_dropout: config.probability_or("dropout", 0.1)?,
        attention_dropout: config.probability_or("attention_dropout", 0.1)?,
        attention_output_dropout: 0.0,
        classifier_dropout: config.probability_or("seq_classif_dropout", 0.2)?,
        pad_id: config.usize_or("pad_token_id", 0)?,
        initializer_range: config.f64_or("initializer_range", 0.02)?,
    }
    .checked(config, "n_heads")
}
