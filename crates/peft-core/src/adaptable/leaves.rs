//! Types whose adaptable layers are known: the layers themselves, and what holds none.
//!
//! Burn's modules that have a `Linear` inside are not here on purpose (see [`Adaptable`]).

use burn::module::{Flag, Param, RunningState};
use burn::nn::activation::{
    Celu, Elu, GLU, Gelu, HardShrink, HardSigmoid, HardSwish, Hardtanh, LeakyRelu, LogSigmoid,
    Mish, PRelu, RRelu, Relu, Relu6, Selu, Shrink, SiLU, Sigmoid, SoftShrink, Softplus, Softsign,
    Tanh, Tanhshrink, Threshold, ThresholdedRelu,
};
use burn::nn::conv::{
    Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, DeformConv2d,
};
use burn::nn::interpolate::{Interpolate1d, Interpolate2d};
use burn::nn::norm::Normalization;
use burn::nn::pool::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AvgPool1d, AvgPool2d, MaxPool1d,
    MaxPool2d,
};
use burn::nn::{
    BatchNorm, CosineSimilarity, Dropout, Embedding, Fold4d, GaussianNoise, GroupNorm, Identity,
    InstanceNorm, LayerNorm, LocalResponseNorm, PairwiseDistance, PixelShuffle, PixelUnshuffle,
    PositionalEncoding, RmsNorm, RotaryEncoding, Unfold4d,
};
use burn::tensor::Tensor;

use super::Adaptable;
use crate::embedding::AdaptedEmbedding;
use crate::linear::AdaptedLinear;

impl Adaptable for AdaptedLinear {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        visit(self);
    }
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        visit(self);
    }
}

impl Adaptable for AdaptedEmbedding {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        visit(&self.table);
    }
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        visit(&mut self.table);
    }
}

macro_rules! without_layers {
    ($($leaf:ty),* $(,)?) => {
        $(impl Adaptable for $leaf {
            fn visit_linears(&self, _visit: &mut dyn FnMut(&AdaptedLinear)) {}
            fn visit_linears_mut(&mut self, _visit: &mut dyn FnMut(&mut AdaptedLinear)) {}
        })*
    };
}

without_layers! {
    bool, f32, f64, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, String,
    Param<Flag>,
    Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, DeformConv2d,
    Embedding, PositionalEncoding, RotaryEncoding,
    BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, Normalization, RmsNorm,
    Dropout, GaussianNoise, Identity,
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d,
    Fold4d, Interpolate1d, Interpolate2d, PixelShuffle, PixelUnshuffle, Unfold4d,
    CosineSimilarity, PairwiseDistance,
    Celu, Elu, GLU, Gelu, HardShrink, HardSigmoid, HardSwish, Hardtanh, LeakyRelu, LogSigmoid, Mish,
    PRelu, RRelu, Relu, Relu6, Selu, Shrink, SiLU, Sigmoid, SoftShrink, Softplus, Softsign, Tanh,
    Tanhshrink, Threshold, ThresholdedRelu,
}

macro_rules! tensors_without_layers {
    ($($tensor:ty),*) => {
        $(impl<const D: usize> Adaptable for $tensor {
            fn visit_linears(&self, _visit: &mut dyn FnMut(&AdaptedLinear)) {}
            fn visit_linears_mut(&mut self, _visit: &mut dyn FnMut(&mut AdaptedLinear)) {}
        })*
    };
}

tensors_without_layers! {
    Tensor<D>, Param<Tensor<D>>, RunningState<Tensor<D>>
}
