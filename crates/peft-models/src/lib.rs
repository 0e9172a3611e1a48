//! Model families in the Hugging Face layout, ready to be adapted.
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin
//!
//! A family is data ([`Family`]): how its `config.json` is read and what its tensors are called. One [`Encoder`] and
//! one [`ClassificationHead`] serve BERT, RoBERTa and DistilBERT; each of their linear layers is an
//! [`AdaptedLinear`](peft_core::AdaptedLinear), and no family names a method.
//!
//! [`load_classifier`] and [`load_encoder`] read a folder, [`hf::save_model`] writes one. A bare encoder has paths
//! without base prefix (`encoder.layer.0...`), a classifier has them (`bert.encoder.layer.0...`), as in `transformers`.

mod batch;
mod bert;
mod causal_batch;
mod causal_lm;
mod classifier;
mod decoder;
mod decoder_classifier;
mod decoder_config;
mod decoders;
mod distilbert;
mod encoder;
mod encoder_config;
mod encoder_family;
mod error;
mod families;
pub mod generate;
mod heads;
pub mod hf;
mod kind;
pub mod layers;
mod length;
mod packed;
mod pooling;
mod roberta;
mod sites;
mod vit;
mod vit_config;
mod vit_names;

pub use batch::TokenBatch;
pub use causal_batch::{CausalBatch, Text};
pub use causal_lm::{CausalLm, init_causal_lm, load_causal_lm, load_causal_lm_with};
pub use classifier::{
    Loaded, SequenceClassifier, init_classifier, init_encoder, load_classifier,
    load_classifier_with, load_encoder,
};
pub use decoder::{Decoder, KvCache};
pub use decoder_classifier::{
    DecoderClassifier, decoder_classifier_sites, load_decoder_classifier,
};
pub use decoder_config::{
    Biases, DecoderBlockNames, DecoderConfig, DecoderFamily, MlpNames, NormKind, Norms,
    QueryKeyNorm, Scales,
};
pub use encoder::Encoder;
pub use encoder_config::{EncoderConfig, Numbering};
pub use encoder_family::{Family, HeadModule, HeadNames};
pub use error::{Misshaped, ModelError, UnreadableDtype, WeightProblems};
pub use families::{DECODERS, FAMILIES, default_targets};
pub use heads::ClassificationHead;
pub use hf::ModelConfig;
pub use kind::{ModelKind, stores_transposed, word_table};
pub use length::max_length;
pub use packed::{Contents, Kept, PackError, PackFormat, Storage, UnknownFormat};
pub use pooling::{Pooling, l2_normalized};
pub use sites::{causal_lm_sites, classifier_sites, encoder_sites};
pub use vit::{
    ImageClassifier, VitBlock, init_image_classifier, load_image_classifier,
    load_image_classifier_with,
};
pub use vit_config::VitConfig;
pub use vit_names::{image_classifier_sites, image_classifier_sites_in_transformers_5};
