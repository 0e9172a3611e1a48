//! The operations that a step is made of, beside Burn's own: a layer with its low-rank pair (in f32 and bf16), and attention; forward and backward.
//!
//! Shapes of MiniLM: 16 rows of 128 tokens, width 384, 12 heads.

use burn::tensor::{Device, Distribution, Tensor, activation};
use criterion::Criterion;
use peft_kernels::{Attention, Compute, LowRankPair, attention, linear_with_pair};

const ROWS: usize = 16;
const TOKENS: usize = 128;
const WIDTH: usize = 384;
const INNER: usize = 1536;
const HEADS: usize = 12;
const RANK: usize = 8;
const SCALE: f64 = 2.0;

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-0.1, 0.1), device)
}

/// `f` of inputs that require gradients, forward and backward.
fn step<const D: usize, const N: usize>(
    inputs: &[Tensor<D>; N],
    f: impl Fn(&[Tensor<D>; N]) -> Tensor<D>,
) {
    let inputs = inputs.clone().map(Tensor::require_grad);
    let gradients = f(&inputs).sum().backward();
    for input in inputs {
        input.grad(&gradients).expect("a gradient");
    }
}

fn layers(criterion: &mut Criterion, device: &Device) {
    let mut group = criterion.benchmark_group("layer-with-pair");
    for (name, d_in, d_out) in [
        ("square", WIDTH, WIDTH),
        ("up", WIDTH, INNER),
        ("down", INNER, WIDTH),
    ] {
        let weight = random([d_in, d_out], device);
        let bias = random([d_out], device);
        let inputs = [
            random([ROWS * TOKENS, d_in], device),
            random([d_in, RANK], device),
            random([RANK, d_out], device),
        ];
        for (how, compute) in [("fused", Compute::F32), ("bf16", Compute::Bf16)] {
            group.bench_function(format!("{name}/{how}"), |bencher| {
                let layer = |[x, a, b]: &[Tensor<2>; 3]| {
                    let pair = LowRankPair {
                        a: a.clone(),
                        b: b.clone(),
                        scale: SCALE,
                        input: None,
                    };
                    linear_with_pair(x.clone(), weight.clone(), Some(bias.clone()), pair)
                };
                bencher.iter(|| compute.run(|| step(&inputs, layer)));
            });
        }
        group.bench_function(format!("{name}/burn"), |bencher| {
            bencher.iter(|| {
                step(&inputs, |[x, a, b]| {
                    let low = x
                        .clone()
                        .matmul(a.clone())
                        .mul_scalar(SCALE)
                        .matmul(b.clone());
                    x.clone().matmul(weight.clone()) + low + bias.clone().unsqueeze()
                });
            });
        });
    }
    group.finish();
}

fn attentions(criterion: &mut Criterion, device: &Device) {
    let d = WIDTH / HEADS;
    let inputs = [0; 3].map(|_| random([ROWS, HEADS, TOKENS, d], device));
    let scale = 1.0 / (d as f64).sqrt();
    let mut group = criterion.benchmark_group("attention");
    group.bench_function("fused", |bencher| {
        bencher.iter(|| {
            step(&inputs, |[query, key, value]| {
                let how = Attention {
                    scale,
                    cap: None,
                    mask: None,
                    dropout: None,
                };
                attention(query.clone(), key.clone(), value.clone(), how)
            });
        });
    });
    group.bench_function("burn", |bencher| {
        bencher.iter(|| {
            step(&inputs, |[query, key, value]| {
                let scores = query
                    .clone()
                    .matmul(key.clone().swap_dims(2, 3))
                    .mul_scalar(scale);
                activation::softmax(scores, 3).matmul(value.clone())
            });
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let device = Device::flex().autodiff();
    layers(&mut criterion, &device);
    attentions(&mut criterion, &device);
    criterion.final_summary();
}
