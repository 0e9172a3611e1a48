//! Heads on top of an encoder.

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::{AdaptedLinear, Pass};

use crate::encoder_config::EncoderConfig;
use crate::encoder_family::HeadNames;
use crate::hf::{HeadPolicy, WeightReader};
use crate::layers::Activation;
use crate::pooling::first_token;

/// Sequence classification: `output(dropout(activation(dense([dropout] first token))))`.
///
/// BERT: pooler (tanh), then classifier. RoBERTa: `classifier.dense` (tanh, dropout before it too), `classifier.out_proj`.
/// DistilBERT: `pre_classifier` (relu), `classifier`. One label means regression.
#[derive(Module, Debug)]
pub struct ClassificationHead {
    /// `d_model` to `d_model`.
    pub dense: AdaptedLinear,
    /// `d_model` to labels.
    pub output: AdaptedLinear,
    dropout: f64,
    input_dropout: f64,
    #[module(skip)]
    activation: Activation,
}

impl ClassificationHead {
    /// Reads the head; layers that the file lacks start afresh.
    #[must_use]
    pub fn load(
        reader: &mut WeightReader,
        names: &HeadNames,
        config: &EncoderConfig,
        num_labels: usize,
        policy: HeadPolicy,
    ) -> Self {
        let d = config.d_model;
        Self {
            dense: reader.head_linear(names.dense, d, d, HeadPolicy::Keep),
            output: reader.head_linear(names.output, d, num_labels, policy),
            dropout: config.classifier_dropout,
            input_dropout: if names.input_dropout {
                config.classifier_dropout
            } else {
                0.0
            },
            activation: names.activation,
        }
    }

    /// Logits `[batch, labels]` from hidden states `[batch, seq, d_model]`.
    #[must_use]
    pub fn forward(&self, hidden: Tensor<3>, pass: &mut Pass<'_>) -> Tensor<2> {
        let x = pass.dropout(first_token(hidden), self.input_dropout);
        let x = self.activation.forward(self.dense.forward(x, pass));
        let x = pass.dropout(x, self.dropout);
        self.output.forward(x, pass)
    }
}
