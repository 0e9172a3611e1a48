//! What is pretrained: a model that reads pictures of digits.

use burn::module::Module;
use burn::tensor::Tensor;

/// A Burn model that reads digits.
pub trait Reader: Module {
    /// Logits `[examples, 10]` of pixels `[examples, 64]`.
    fn read(&self, pixels: Tensor<2>) -> Tensor<2>;
}
