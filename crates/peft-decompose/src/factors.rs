//! The low-rank pair inside an adapter, and what the methods built on it share.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use peft_core::lora::{LoraInit, Scaling};
use peft_core::{Factor, FactorPair, Layout, Site, SiteLayout, Slot, TensorName};
use peft_kernels::{LowRankPair, product};

use crate::norms::{Sum, in_f32};

/// `scale * A B`, trained; zero at the start.
#[derive(Module, Debug)]
pub struct Factors {
    /// Down-projection, shape `[d_in, rank]`.
    pub a: Param<Tensor<2>>,
    /// Up-projection, shape `[rank, d_out]`.
    pub b: Param<Tensor<2>>,
    /// Factor of the product.
    pub scale: f64,
}

impl Factors {
    /// The tensor of `A` in files.
    pub(crate) const A: TensorName =
        TensorName::trained("factors.a", "lora_A.weight", Layout::Transposed);
    /// The tensor of `B` in files.
    pub(crate) const B: TensorName =
        TensorName::trained("factors.b", "lora_B.weight", Layout::Transposed);

    /// The pair without values.
    pub(crate) fn layout(site: &Site, rank: usize, alpha: f64, scaling: Scaling) -> SiteLayout {
        SiteLayout::of_pair(
            [Self::A, Self::B],
            site,
            rank,
            scaling.factor(rank, alpha),
            1,
        )
    }

    /// LoRA's start.
    pub(crate) fn start(slot: &Slot<'_>, start: LoraInit, scaling: Scaling) -> Self {
        let (d_in, d_out, rank) = (slot.site.d_in, slot.site.d_out, slot.rank);
        let (a, b) = start.draw(d_in, d_out, rank, &mut slot.rng());
        Self {
            a: slot.trainable("factors.a", a),
            b: slot.trainable("factors.b", b),
            scale: scaling.factor(rank, slot.alpha),
        }
    }

    /// `scale * x A`, shape `[rows, rank]`: scaled where the tensor is narrow.
    pub(crate) fn down(&self, x: Tensor<2>) -> Tensor<2> {
        product(x, self.a.val()).mul_scalar(self.scale)
    }

    /// The product beside a layer's own: `scale * (x A) B`.
    pub(crate) fn beside_product(&self) -> LowRankPair {
        LowRankPair {
            a: self.a.val(),
            b: self.b.val(),
            scale: self.scale,
            input: None,
        }
    }

    /// `scale * ((c (.) x) A) B` for `c [d_in, 1]`: the narrow `A` is scaled instead of the wide `x`, which layers share.
    pub(crate) fn scaled_product(&self, x: Tensor<2>, c: Tensor<2>) -> Tensor<2> {
        let pair = LowRankPair {
            a: self.a.val() * c,
            ..self.beside_product()
        };
        pair.output(x)
    }

    /// `W + scale A B` in parts.
    pub(crate) fn beside(&self, weight: impl Into<Factor>) -> Sum {
        let weight = match weight.into() {
            Factor::Dense(weight) => in_f32(weight).into(),
            packed @ Factor::Packed(_) => packed,
        };
        Sum {
            weight,
            a: self.a.val(),
            b: self.b.val(),
            scale: self.scale,
        }
    }

    /// The pair, for transforms that need both factors together.
    pub(crate) fn pair(&self) -> FactorPair {
        FactorPair {
            a: self.a.id,
            b: self.b.id,
            scale: self.scale,
            count: 1,
        }
    }
}
