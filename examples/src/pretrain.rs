//! Training all of a model with Burn alone, before any adapter: a loop over batches with an optimizer of Burn's, or by the feature `learner`
//! with `burn-train`'s `Learner`.

use burn::tensor::Tensor;

use crate::digits::Digits;
pub use crate::reader::Reader;

/// Trains every parameter for so many steps of 50 digits.
#[cfg(not(feature = "learner"))]
#[must_use]
pub fn pretrain<M: Reader>(mut model: M, digits: &Digits, steps: usize) -> M {
    let device = model.devices().into_iter().next().unwrap_or_default();
    let mut optimizer = burn::optim::AdamWConfig::new().init();
    let all = digits.all();
    for batch in all.chunks(50).cycle().take(steps) {
        let logits = model.read(digits.pixels(batch, &device));
        let loss = burn::nn::loss::CrossEntropyLossConfig::new().init(&device);
        let loss = loss.forward(logits, digits.classes(batch, &device));
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(3e-3, model, gradients);
    }
    model
}

#[cfg(feature = "learner")]
pub use crate::learner::pretrain;

/// The share of the digits that logits `[digits, 10]` name.
#[must_use]
pub fn accuracy(logits: Tensor<2>, digits: &Digits) -> f64 {
    let all = digits.all();
    let classes = digits.classes(&all, &logits.device());
    let named = logits.argmax(1).reshape([all.len()]).equal(classes);
    f64::from(named.float().mean().into_scalar::<f32>())
}

/// The largest difference between two tensors.
#[must_use]
pub fn difference(left: Tensor<2>, right: Tensor<2>) -> f32 {
    (left - right).abs().max().into_scalar::<f32>()
}
