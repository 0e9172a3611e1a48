//! RoBERTa (Liu et al., arXiv 1907.11692) and XLM-RoBERTa: BERT's blocks, positions after the padding id, own head.

use crate::bert::{BLOCK, EMBEDDINGS, read_common};
use crate::encoder_config::{EncoderConfig, Numbering};
use crate::encoder_family::{Family, HeadModule, HeadNames};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::Activation;

/// RoBERTa: the head is a module `classifier` of two layers.
pub(crate) static FAMILY: Family = Family {
    model_types: &["roberta", "xlm-roberta"],
    prefix: "roberta",
    embeddings: EMBEDDINGS,
    blocks: "encoder.layer",
    block: BLOCK,
    head: HeadNames {
        dense: "classifier.dense",
        output: "classifier.out_proj",
        activation: Activation::Tanh,
        input_dropout: true,
        modules: &[HeadModule {
            name: "classifier",
            path: "classifier",
            only_when_fresh: false,
        }],
    },
    classifier_class: "RobertaForSequenceClassification",
    default_targets: &["query", "value"],
    read,
};

fn read(config: &ModelConfig) -> Result<EncoderConfig, ModelError> {
    read_common(config, 1e-12, 1, |pad_id| Numbering::AfterPadding {
        pad_id,
    })
}
