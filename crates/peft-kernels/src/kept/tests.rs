//! Tensors that are made again, and what is remembered of them.

use burn::tensor::Tensor;

use super::*;
use crate::testing::{device, noise, tensor, values};
use crate::{Gate, LowRankPair, dropout, gated, gelu, linear_with_pair};

const SHAPE: [usize; 2] = [64, 64];

fn filled_with(value: f32) -> FlexTensor {
    let values = vec![value; SHAPE.iter().product()];
    let layout = Layout::contiguous(SHAPE.into());
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

#[derive(Debug)]
struct Filled(f32);

impl Recipe for Filled {
    fn make(&self) -> FlexTensor {
        filled_with(self.0)
    }
}

#[test]
fn what_was_made_is_made_again_until_somebody_writes_over_it() {
    for compute in [Compute::F32, Compute::Bf16] {
        compute.run(|| {
            let mut x = filled_with(7.0);
            was_made(&x, Filled(7.0));
            assert!(matches!(Kept::new(x.clone()), Kept::Made(..)));
            let turned = Kept::new(x.transpose(0, 1));
            assert!(!matches!(turned, Kept::Made(..)), "{turned:?}");
            x.storage_mut::<f32>()[0] = 1.0;
            let kept = Kept::new(x);
            assert!(!matches!(kept, Kept::Made(..)), "{kept:?}");
            assert_eq!(kept.tensor().storage::<f32>()[..2], [1.0, 7.0]);
        });
    }
}

#[test]
fn a_recipe_is_forgotten_after_others_and_with_its_tensor() {
    let x = filled_with(1.0);
    was_made(&x, Filled(1.0));
    for _ in 0..2 * REMEMBERED {
        was_made(&filled_with(2.0), Filled(2.0)); // gone at once
    }
    assert!(matches!(Kept::new(x.clone()), Kept::Made(..)));
    let others: Vec<_> = (0..REMEMBERED).map(|_| filled_with(3.0)).collect();
    for other in &others {
        was_made(other, Filled(3.0));
    }
    assert!(matches!(Kept::new(x), Kept::Whole(_)));
}

/// What a layer with a pair does to the gradients of its input and of the pair's first factor.
fn gradients(make: impl Fn(Tensor<2>) -> Tensor<2>) -> [Vec<f32>; 2] {
    let of =
        |seed, shape: [usize; 2]| tensor(&noise(seed, shape[0] * shape[1], 1.0), shape, &device());
    let (x, a) = (
        of(1, [96, 64]).require_grad(),
        of(2, [64, 4]).require_grad(),
    );
    let pair = LowRankPair {
        a: a.clone(),
        b: of(3, [4, 64]),
        scale: 2.0,
        input: None,
    };
    let y = linear_with_pair(make(x.clone()), of(4, [64, 64]), None, pair);
    let grads = (y * of(5, [96, 64])).sum().backward();
    [x, a].map(|leaf| values(leaf.grad(&grads).unwrap()))
}

#[test]
fn layers_have_the_same_gradients_from_inputs_that_are_made_again() {
    let ways: [fn(Tensor<2>) -> Tensor<2>; 4] = [
        gelu,
        |x| gated(x.clone(), x, Gate::Silu),
        |x| dropout(x, 0.4, 7),
        |x| dropout(gated(x.clone(), x, Gate::Silu), 0.4, 7),
    ];
    for make in ways {
        // A sum is not known to be made of anything.
        assert_eq!(gradients(make), gradients(|x| make(x) + 0.0));
    }
}
