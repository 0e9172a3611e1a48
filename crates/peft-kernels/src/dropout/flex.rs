//! Dropout fused on flex: the mask is made where it is used, in the forward and again in the backward.
//!
//! Elements go in blocks of 32; elements `j` and `j + 16` of block `b` take the low and the high 16 bits of
//! `h(h(16 b + j ^ k0) + k1)`, with `h` a 32-bit mixing function and `k0, k1` the halves of a 64-bit key made of the
//! seed. A counter, not a state: any element's bits can be had alone. They repeat after `2^33` elements.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use pulp::{Simd, WithSimd};

use super::derive_seed;
use crate::flex::{Kernel, transform};
use crate::fused::fused;
use crate::kept::{Kept, Recipe, was_made};

/// Random words made together.
const WORDS: usize = 16;
/// Elements whose mask is made together, two per word; tasks begin at multiples of it.
pub(crate) const BLOCK: usize = 2 * WORDS;
/// One more than the largest 16-bit number.
const RANGE: f64 = 65_536.0;

/// Fused dropout for `0 < probability < 1`, or the tensor back when the fused path does not apply to it.
pub(super) fn dropout<const D: usize>(
    x: Tensor<D>,
    probability: f64,
    seed: u64,
) -> Result<Tensor<D>, Tensor<D>> {
    let mask = Mask::new(probability, seed);
    Ok(Tensor::from_dispatch(Dispatch::fused_dropout(
        fused(x)?,
        mask,
    )))
}

/// What decides the mask of one call; as a kernel, the multiplication by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    keys: [u32; 2],
    /// Elements whose 16 bits are below it are dropped.
    dropped_below: u32,
    /// What the others are multiplied by.
    scale: f32,
}

impl Mask {
    /// The mask of a seed, for `0 < probability < 1`.
    pub(crate) fn new(probability: f64, seed: u64) -> Self {
        let dropped_below = (probability * RANGE).round().min(RANGE - 1.0);
        let key = derive_seed(seed, 0);
        Self {
            keys: [key as u32, (key >> 32) as u32],
            dropped_below: dropped_below as u32,
            scale: (RANGE / (RANGE - dropped_below)) as f32,
        }
    }

    /// The random words of block `index`.
    #[inline(always)]
    fn words(self, index: usize) -> [u32; WORDS] {
        let first = (index * WORDS) as u32;
        let mut words = [0; WORDS];
        for (lane, word) in words.iter_mut().enumerate() {
            let x = mix(first.wrapping_add(lane as u32) ^ self.keys[0]);
            *word = mix(x.wrapping_add(self.keys[1]));
        }
        words
    }

    /// Multiplies the elements of a block, or of the beginning of one.
    #[inline(always)]
    fn apply(self, block: &mut [f32], words: [u32; WORDS]) {
        let (low, high) = block.split_at_mut(block.len().min(WORDS));
        for (x, word) in low.iter_mut().zip(words) {
            *x *= self.factor(word & 0xffff);
        }
        for (x, word) in high.iter_mut().zip(words) {
            *x *= self.factor(word >> 16);
        }
    }

    /// The mask on values of which the first is the element `start`.
    pub(crate) fn on(self, start: usize, values: &mut [f32]) -> Masked<'_> {
        Masked {
            mask: self,
            start,
            values,
        }
    }

    #[inline(always)]
    fn factor(self, bits: u32) -> f32 {
        if bits < self.dropped_below {
            0.0
        } else {
            self.scale
        }
    }
}

/// A mask with values that may begin inside a block.
pub(crate) struct Masked<'a> {
    mask: Mask,
    start: usize,
    values: &'a mut [f32],
}

impl WithSimd for Masked<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self {
            mask,
            start,
            values,
        } = self;
        let before = start % BLOCK;
        let (begun, whole) = values.split_at_mut(values.len().min((BLOCK - before) % BLOCK));
        if before > 0 {
            let mut block = [1.0; BLOCK];
            mask.apply(&mut block, mask.words(start / BLOCK));
            let factors = &block[before..];
            begun
                .iter_mut()
                .zip(factors)
                .for_each(|(x, factor)| *x *= factor);
        }
        mask.run::<S>(start.next_multiple_of(BLOCK), whole);
    }
}

/// A bijection of 32-bit words that mixes well: a change of one bit of `x` changes each bit of the result with a
/// probability close to one half.
///
/// The two-round function of C. Wellons' hash-prospector, <https://github.com/skeeto/hash-prospector/issues/19>.
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x21f0_aaad);
    x ^= x >> 15;
    x = x.wrapping_mul(0xd35a_2d97);
    x ^ (x >> 15)
}

impl Kernel for Mask {
    const NAME: &'static str = "dropout";

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let first = start / BLOCK;
        let (blocks, rest) = chunk.as_chunks_mut::<BLOCK>();
        for (i, block) in blocks.iter_mut().enumerate() {
            self.apply(block, self.words(first + i));
        }
        self.apply(rest, self.words(first + blocks.len()));
    }
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait DropoutOps: Backend {
    fn fused_dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self>;
}

impl DropoutOps for Flex {
    fn fused_dropout(x: FlexTensor, mask: Mask) -> FlexTensor {
        transform(x, BLOCK, &mask)
    }
}

impl<C: CheckpointStrategy> DropoutOps for Autodiff<Flex, C> {
    fn fused_dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match DropoutStep.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                // An input that somebody else holds is that of an adapter, and of the layer beside it, which may keep it.
                let kept = (!x.is_unique()).then(|| Kept::new(x.clone()));
                let y = Flex::fused_dropout(x, mask);
                if let Some(kept) = kept {
                    was_made(&y, Again(kept, mask));
                }
                prep.finish(mask, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_dropout(x, mask)),
        }
    }
}

/// The output of a kept input.
#[derive(Debug)]
struct Again(Kept, Mask);

impl Recipe for Again {
    fn make(&self) -> FlexTensor {
        Flex::fused_dropout(self.0.tensor(), self.1)
    }
}

#[derive(Debug)]
struct DropoutStep;

impl Backward<Flex, 1> for DropoutStep {
    type State = Mask;

    fn backward(self, ops: Ops<Mask, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<Flex, _>(ops.parents, ops.node, grads, |grad| {
            Flex::fused_dropout(grad, ops.state)
        });
    }
}
