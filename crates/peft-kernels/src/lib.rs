//! Fused operations for fine-tuning, each with a backward of its own.
#![doc = include_str!("../README.md")]
//!
//! ## The functions
//!
//! | function | formula | saved for the backward |
//! |---|---|---|
//! | [`gelu`], [`gelu_tanh`] | `x Phi(x)`, exact or by the tanh approximation | `x` |
//! | [`softmax_last`], [`attention_softmax`] | `softmax(scale x + bias)` over the last axis | the output |
//! | [`attention`] | `dropout(softmax(scale Q K^T + mask)) V` | the inputs, two numbers per query |
//! | [`dropout`] | `x mask / (1 - p)`, the mask a function of a seed | nothing |
//! | [`layer_norm`] | `(x - mean) / sqrt(var + eps) gamma + beta` | `x`, or the output of a frozen norm and a number per row |
//! | [`rms_norm`] | `x / sqrt(mean(x^2) + eps) gamma` | `x`, or the output of a frozen norm and a number per row |
//! | [`gated`] | `a(gate) up`, `a` SiLU or the tanh form of GELU | both inputs |
//! | [`rotary`] | pairs of a head turned by an angle each | the angles |
//! | [`scale_columns`] | `x s + b`, a factor and an addend per column | input or output |
//! | [`product`], [`linear`] | `x W + b` | what the wanted gradients need |
//! | [`linear_with_pair`] | `x W + b + s (z A) B` | `z`, `z A` |
//! | the same with a [`PackedWeight`] | `x W + b`, the weight unpacked tile by tile | the packed weight |
//! | [`cross_entropy`] | the loss of rows of scores with one target each | the probabilities |
//! | [`linear_cross_entropy`] | the loss of `x W`, whose scores are never held whole | the gradient of `x` |
//! | [`soft_capped`] | `c tanh(x / c)` | the output |
//! | [`scaled_product`] | `(x c) W`, a factor per input of a frozen weight | the inputs |
//! | [`expert_mixture`] | `sum_j w_j (drop(x) A_e) B_e` over the experts `e` that a row chose | the inputs, `drop(x) A_e` |
//!
//! [`adamw`] makes a step of the optimizer and [`SquaredNorm`] measures gradients; neither is differentiated.
//!
//! On the devices of CubeCL [`gated`] by SiLU, [`rms_norm`], [`rotary`], [`attention`] without dropout and cap, [`cross_entropy`],
//! [`linear_cross_entropy`], products with a [`PackedWeight`], [`adamw`], [`SquaredNorm`] and the gradients of a low-rank pair have kernels; the other functions are compositions there. What they keep:
//! the root of a row in `rms_norm`, the output in `attention`, the scores in `cross_entropy`; else as in the table.
//!
//! On the processor a layer that would keep the output of [`gelu`], [`gated`] or [`dropout`] makes it again from what these keep.
//!
//! The vector instructions of the fused path are AVX2, AVX-512 or NEON; its backward is a Burn backend extension. Both paths work with and
//! without autodiff, and for any memory layout.
//!
//! Products are in f32, or with factors rounded to bfloat16 within [`Compute::run`].
//!
//! Results do not depend on the number of threads. They may differ in the last bit between instruction sets.

#![cfg_attr(
    any(feature = "flex", feature = "cube"),
    allow(
        clippy::result_large_err,
        clippy::excessive_precision,
        reason = "an Err gives the caller its tensors back to be composed instead; constants stand as published"
    )
)]

mod adamw;
mod attention;
mod compute;
mod cross_entropy;
mod dropout;
mod expert_mixture;
mod gated;
mod gelu;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod packed;
pub mod profile;
mod reads;
mod rms_norm;
mod rotary;
mod scale_columns;
mod scaled_product;
mod soft_cap;
mod softmax;
mod squared_norm;

#[cfg(feature = "flex")]
mod bf16;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(any(feature = "flex", feature = "cube"))]
mod fused;
#[cfg(feature = "flex")]
mod kept;
#[cfg(feature = "flex")]
mod math;
#[cfg(feature = "flex")]
mod matrix;
#[cfg(feature = "flex")]
mod row_sums;

#[cfg(test)]
mod finite_differences;
#[cfg(test)]
mod testing;

pub use adamw::{AdamWStep, Moving, adamw};
pub use attention::{Attention, AttentionMask, KeyRanges, attention};
pub use compute::Compute;
pub use cross_entropy::cross_entropy;
pub use dropout::{derive_seed, dropout};
pub use expert_mixture::{Experts, Routing, expert_mixture, expert_mixture_dense};
pub use gated::{Gate, gated};
pub use gelu::{gelu, gelu_tanh};
pub use layer_norm::layer_norm;
pub use linear::{LowRankPair, linear, linear_with_pair, product};
pub use linear_cross_entropy::{held_scores, linear_cross_entropy};
pub use packed::{Codes, Factor, Nf4, Nf4Error, PackedRows, PackedWeight};
pub use reads::{read, read_number, reads, try_read};
pub use rms_norm::rms_norm;
pub use rotary::rotary;
pub use scale_columns::{Keep, scale_columns};
pub use scaled_product::scaled_product;
pub use soft_cap::soft_capped;
pub use softmax::{attention_softmax, softmax_last};
pub use squared_norm::SquaredNorm;
