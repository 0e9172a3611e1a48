//! The methods beside LoRA on one model and batch: what `methods` times and `memory` weighs.

use burn::optim::{GradientsParams, ModuleOptimizer};
use peft_core::lora::LORA;
use peft_core::{AdapterSpec, Method, MethodEntry, Pass, attach};
use peft_decompose::bora::BORA;
use peft_decompose::dora::DORA;
use peft_decompose::olora::OLORA;
use peft_decompose::pissa::PISSA;
use peft_decompose::svfit::SVFIT;
use peft_models::{Loaded, SequenceClassifier, TokenBatch};

use crate::{ADAPTER, Adapted};

/// Rows and tokens of the batch on which methods are compared: long enough that the products decide.
pub const LONG: (usize, usize) = (16, 128);

/// Methods and what they adapt: LoRA first, as the measure of its group.
pub const METHODS: [(Adapted, &[&MethodEntry]); 2] = [
    (Adapted::QueryValue, &[&LORA, &DORA, &BORA, &SVFIT]),
    (Adapted::AllLinear, &[&LORA, &DORA, &BORA, &PISSA, &OLORA]),
];

/// The model with a fresh adapter of rank 8 and the method's default options.
#[must_use]
pub fn attached(
    base: Loaded<SequenceClassifier>,
    adapted: Adapted,
    entry: &MethodEntry,
) -> SequenceClassifier {
    let method = (entry.from_options)(&(entry.default_options)()).expect("defaults are valid");
    let spec = spec_of(adapted, method);
    let (model, _) = attach(base.model, &base.names, ADAPTER, &spec, 1).expect("attaches");
    model
}

/// What is attached at rank 8, with a method and its options.
#[must_use]
pub fn spec_of(adapted: Adapted, method: Box<dyn Method>) -> AdapterSpec {
    AdapterSpec {
        method,
        ..adapted.spec().expect("an adapter")
    }
}

/// Forward, backward and one step of the optimizer.
#[must_use]
pub fn step(
    model: SequenceClassifier,
    optimizer: &mut ModuleOptimizer,
    batch: &TokenBatch,
) -> SequenceClassifier {
    let logits = model.logits(batch, &mut Pass::train(0));
    let loss = logits.powi_scalar(2).mean();
    let grads = GradientsParams::from_grads(loss.backward(), &model);
    optimizer.step(1e-4, model, grads)
}
