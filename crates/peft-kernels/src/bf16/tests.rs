//! Products in bf16: the numbers of f32 where the factors need no rounding, near them where they do, and nothing else rounded.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::testing::{BF16, device, noise, tensor, values};
use crate::{
    Attention, Compute, Factor, LowRankPair, PackedRows, PackedWeight, attention, linear,
    linear_cross_entropy, linear_with_pair, product,
};

/// More than a tile and a thread's share in every direction, and no multiple of anything.
const SIZES: [usize; 3] = [83, 805, 301];

/// Eighths of at most 2: bfloat16 has them all, and f32 every sum of so many products.
fn eighths(seed: u64, count: usize) -> Vec<f32> {
    let draws = noise(seed, count, 16.0);
    draws.iter().map(|x| x.round() / 8.0).collect()
}

/// A matrix as rows of blocks that are no bytes at all.
#[derive(Debug)]
struct Kept {
    values: Vec<f32>,
    dims: [usize; 2],
}

impl PackedRows for Kept {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }
    fn block(&self) -> usize {
        7
    }
    fn bytes(&self) -> usize {
        0
    }
    fn format(&self) -> &'static str {
        "kept"
    }
    fn unpack(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        assert!(columns.start.is_multiple_of(7) && columns.end.is_multiple_of(7));
        let kept = self.values.chunks(self.dims[1]).skip(rows.start);
        for (row, out) in kept.zip(values.chunks_mut(columns.len())) {
            out.copy_from_slice(&row[columns.clone()]);
        }
    }
}

/// The weight `[d_in, d_out]` in every form that a product takes.
fn forms(weight: &[f32], [d_in, d_out]: [usize; 2]) -> Vec<Factor> {
    let dense = tensor(weight, [d_in, d_out], &device());
    let upright = values(dense.clone().transpose());
    let kept = |values: &[f32], dims| {
        let values = values.to_vec();
        Arc::new(Kept { values, dims })
    };
    vec![
        dense.clone().into(),
        ((dense.transpose() + 0.0).transpose()).into(),
        PackedWeight::of_inputs(kept(weight, [d_in, d_out])).into(),
        PackedWeight::of_outputs(kept(&upright, [d_out, d_in])).into(),
    ]
}

/// The output of `layer` and the gradient of its input.
fn run(
    compute: Compute,
    x: &[f32],
    cotangent: &[f32],
    sizes: [usize; 3],
    layer: impl Fn(Tensor<2>) -> Tensor<2>,
) -> [Vec<f32>; 2] {
    let [rows, d_in, d_out] = sizes;
    let x = tensor(x, [rows, d_in], &device()).require_grad();
    let y = compute.run(|| layer(x.clone()));
    let cotangent = tensor(cotangent, [rows, d_out], &device());
    // Outside: gradients are computed as the layer was.
    let grads = (y.clone() * cotangent).sum().backward();
    [values(y), values(x.grad(&grads).unwrap())]
}

fn is_near(found: &[f32], exact: &[f32], sizes_of_terms: f64) -> bool {
    let worst = found.iter().zip(exact).map(|(a, b)| (a - b).abs());
    let worst = f64::from(worst.fold(0.0, f32::max));
    worst > 0.0 && worst <= BF16 * sizes_of_terms
}

#[test]
fn factors_that_need_no_rounding_give_the_numbers_of_f32_in_every_form() {
    let [rows, d_in, d_out] = SIZES;
    let d_in = d_in / 7 * 7;
    let (x, weight) = (eighths(1, rows * d_in), eighths(2, d_in * d_out));
    let cotangent = eighths(3, rows * d_out);
    let bias = tensor(&eighths(4, d_out), [d_out], &device());
    let sizes = [rows, d_in, d_out];
    for weight in forms(&weight, [d_in, d_out]) {
        let layer = |x: Tensor<2>| linear(x, weight.clone(), Some(bias.clone()));
        let [f32, bf16] =
            [Compute::F32, Compute::Bf16].map(|compute| run(compute, &x, &cotangent, sizes, layer));
        assert_eq!(f32, bf16);
    }
}

/// A pair that reads some of the inputs and writes some of the outputs: what it passes on needs no rounding where these do not.
fn selecting([d_in, rank, d_out]: [usize; 3]) -> [Vec<f32>; 2] {
    let mut pair = [vec![0.0; d_in * rank], vec![0.0; rank * d_out]];
    for at in 0..rank {
        pair[0][(31 * at + 5) % d_in * rank + at] = 1.0;
        pair[1][at * d_out + (77 * at + 3) % d_out] = 1.0;
    }
    pair
}

/// The output of a layer with a pair, and the gradients of its input and of the pair.
fn run_pair(
    compute: Compute,
    weight: &Factor,
    [x, cotangent]: [&[f32]; 2],
    [a, b]: [&[f32]; 2],
    rows: usize,
    own: bool,
) -> Vec<Vec<f32>> {
    let [d_in, d_out] = weight.dims();
    let leaf = |values: &[f32], shape| tensor(values, shape, &device()).require_grad();
    let x = leaf(x, [rows, d_in]);
    let rank = a.len() / d_in;
    let (a, b) = (leaf(a, [d_in, rank]), leaf(b, [rank, d_out]));
    let pair = LowRankPair {
        a: a.clone(),
        b: b.clone(),
        scale: 0.5,
        input: own.then(|| x.clone()),
    };
    let y = compute.run(|| linear_with_pair(x.clone(), weight.clone(), None, pair));
    let cotangent = tensor(cotangent, [rows, d_out], &device());
    let grads = (y.clone() * cotangent).sum().backward();
    let gradient = |x: &Tensor<2>| values(x.grad(&grads).unwrap());
    vec![values(y), gradient(&x), gradient(&a), gradient(&b)]
}

#[test]
fn pairs_that_need_no_rounding_give_the_numbers_of_f32() {
    let [rows, d_in, d_out] = SIZES;
    let d_in = d_in / 7 * 7;
    let (x, weight) = (eighths(1, rows * d_in), eighths(2, d_in * d_out));
    let cotangent = eighths(3, rows * d_out);
    for (weight, rank) in forms(&weight, [d_in, d_out]).iter().zip([4, 1, 17, 64]) {
        let [a, b] = selecting([d_in, rank, d_out]);
        for own in [false, true] {
            let [f32, bf16] = [Compute::F32, Compute::Bf16]
                .map(|compute| run_pair(compute, weight, [&x, &cotangent], [&a, &b], rows, own));
            assert!(f32 == bf16, "rank {rank}, an input of its own: {own}");
        }
    }
}

#[test]
fn other_pairs_are_rounded_forward_and_backward() {
    let [rows, d_in, d_out] = SIZES;
    let (x, weight) = (noise(1, rows * d_in, 1.0), vec![0.0; d_in * d_out]);
    let cotangent = noise(3, rows * d_out, 1.0);
    let weight = Factor::from(tensor(&weight, [d_in, d_out], &device()));
    let rank = 5;
    let (a, b) = (noise(5, d_in * rank, 1.0), noise(6, rank * d_out, 1.0));
    for own in [false, true] {
        let [f32, bf16] = [Compute::F32, Compute::Bf16]
            .map(|compute| run_pair(compute, &weight, [&x, &cotangent], [&a, &b], rows, own));
        // Sums of so many products, of which each has a random sign.
        let [down, up] = [d_in, d_out].map(|inner| 0.5 * (inner as f64).sqrt() * 2.0);
        let sizes = [
            down * rank as f64,
            up * rank as f64,
            up * (rows as f64).sqrt(),
            down * (rows as f64).sqrt(),
        ];
        for ((found, exact), size) in bf16.iter().zip(&f32).zip(sizes) {
            assert!(is_near(found, exact, size), "an input of its own: {own}");
        }
    }
}

#[test]
fn other_factors_are_rounded_forward_and_backward_whatever_the_form() {
    let [rows, d_in, d_out] = SIZES;
    let (x, weight) = (noise(1, rows * d_in, 1.0), noise(2, d_in * d_out, 1.0));
    let cotangent = noise(3, rows * d_out, 1.0);
    for weight in &forms(&weight, [d_in, d_out])[..2] {
        let layer = |x: Tensor<2>| linear(x, weight.clone(), None);
        let [f32, bf16] =
            [Compute::F32, Compute::Bf16].map(|compute| run(compute, &x, &cotangent, SIZES, layer));
        // Products of two values of [-1, 1] are a quarter in size, on average.
        assert!(is_near(&bf16[0], &f32[0], 0.3 * d_in as f64));
        assert!(is_near(&bf16[1], &f32[1], 0.3 * d_out as f64));
    }
}

#[test]
fn weights_that_train_have_gradients_of_rounded_factors() {
    let [rows, d_in, d_out] = SIZES;
    let gradient = |compute: Compute| {
        let x = tensor(&noise(1, rows * d_in, 1.0), [rows, d_in], &device());
        let weight = tensor(&noise(2, d_in * d_out, 1.0), [d_in, d_out], &device()).require_grad();
        let cotangent = tensor(&noise(3, rows * d_out, 1.0), [rows, d_out], &device());
        let y = compute.run(|| product(x, weight.clone()));
        let grads = (y * cotangent).sum().backward();
        values(weight.grad(&grads).unwrap())
    };
    let [f32, bf16] = [Compute::F32, Compute::Bf16].map(gradient);
    assert!(is_near(&bf16, &f32, 0.3 * rows as f64));
}

#[test]
fn few_rows_and_narrow_products_are_not_rounded() {
    for [rows, d_in, d_out] in [[15, 100, 100], [100, 15, 100], [100, 100, 15]] {
        let x = tensor(&noise(1, rows * d_in, 1.0), [rows, d_in], &device());
        let weight = tensor(&noise(2, d_in * d_out, 1.0), [d_in, d_out], &device());
        let [f32, bf16] = [Compute::F32, Compute::Bf16]
            .map(|compute| values(compute.run(|| product(x.clone(), weight.clone()))));
        assert_eq!(f32, bf16);
    }
}

#[test]
fn the_loss_of_an_output_layer_is_near() {
    let [rows, d_in, classes] = SIZES;
    let targets: Vec<u32> = (0..rows as u32).map(|row| row % classes as u32).collect();
    let loss = |compute: Compute| {
        let x = tensor(&noise(1, rows * d_in, 0.1), [rows, d_in], &device()).require_grad();
        let weight = tensor(&noise(2, d_in * classes, 1.0), [d_in, classes], &device());
        let losses = compute.run(|| linear_cross_entropy(x.clone(), weight, &targets, None));
        let grads = losses.clone().sum().backward();
        [values(losses), values(x.grad(&grads).unwrap())]
    };
    let [f32, bf16] = [Compute::F32, Compute::Bf16].map(loss);
    // A loss is the difference of two scores, or less; a gradient that of two weights.
    assert!(is_near(&bf16[0], &f32[0], 2.0 * 0.03 * d_in as f64));
    assert!(is_near(&bf16[1], &f32[1], 2.0));
}

#[test]
fn attention_is_near_and_the_same_where_heads_are_too_narrow_to_be_rounded() {
    let run = |compute: Compute, d: usize| {
        let shape = [2, 2, 90, d];
        let inputs = [1, 2, 3].map(|seed| {
            let values = noise(seed, shape.iter().product(), 1.0);
            tensor(&values, shape, &device()).require_grad()
        });
        let [q, k, v] = inputs.clone();
        let how = Attention {
            scale: (d as f64).powf(-0.5),
            cap: None,
            mask: None,
            dropout: None,
        };
        let y = compute.run(|| attention(q, k, v, how));
        let cotangent = tensor(&noise(4, shape.iter().product(), 1.0), shape, &device());
        let grads = (y.clone() * cotangent).sum().backward();
        let [dq, dk, dv] = inputs.map(|x| values(x.grad(&grads).unwrap()));
        [values(y), dq, dk, dv]
    };
    let [f32, bf16] = [Compute::F32, Compute::Bf16].map(|compute| run(compute, 72));
    // Outputs and gradients are means and differences of values of at most 1, of which the weights are off by as much as the scores are.
    for (f32, bf16) in f32.iter().zip(&bf16) {
        assert!(is_near(bf16, f32, 3.0));
    }
    let [f32, bf16] = [Compute::F32, Compute::Bf16].map(|compute| run(compute, 32));
    // What is kept for the gradients is rounded all the same.
    assert_eq!(f32[0], bf16[0]);
    for (f32, bf16) in f32.iter().zip(&bf16).skip(1) {
        assert!(is_near(bf16, f32, 3.0));
    }
}
