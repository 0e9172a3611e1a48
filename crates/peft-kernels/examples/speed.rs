//! Times the fused operations against Burn's own on the flex device: the best of several runs, in milliseconds.
//!
//! ```text
//! cargo run -p peft-kernels --features flex --example speed
//! ```
#![expect(clippy::print_stdout, reason = "the example prints its measurements")]

use std::time::Instant;

use burn::tensor::{Device, Distribution, Int, Tensor, activation, module};
use peft_kernels::{
    Experts, Routing, attention_softmax, dropout, expert_mixture, expert_mixture_dense, gelu,
    gelu_tanh, layer_norm, softmax_last,
};

const RUNS: usize = 15;

/// The least time of several runs.
fn best(mut run: impl FnMut()) -> f64 {
    (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
}

/// Milliseconds of `[forward, forward and backward]` on fresh inputs.
fn time<const D: usize>(shape: [usize; D], f: &dyn Fn(Tensor<D>) -> Tensor<D>) -> [f64; 2] {
    let device = Device::flex();
    let normal = Distribution::Normal(0.0, 1.0);
    let x = Tensor::<D>::random(shape, normal, &device);
    let forward = best(|| drop(f(x.clone())));
    let device = device.autodiff();
    let x = Tensor::<D>::random(shape, normal, &device);
    let weight = Tensor::<D>::random(shape, normal, &device);
    // The loss itself costs a product, a sum and their backward: measured alone, and taken off.
    let loss = |f: &dyn Fn(Tensor<D>) -> Tensor<D>| {
        best(|| {
            let x = x.clone().detach().require_grad();
            let grads = (f(x.clone()) * weight.clone()).sum().backward();
            drop(x.grad(&grads));
        })
    };
    [forward, loss(f) - loss(&|x| x)]
}

/// Prints one line: Burn's own, the fused one, and how many times faster it is.
fn compare<const D: usize>(
    name: &str,
    shape: [usize; D],
    burn: &dyn Fn(Tensor<D>) -> Tensor<D>,
    fused: &dyn Fn(Tensor<D>) -> Tensor<D>,
) {
    let (burn, fused) = (time(shape, burn), time(shape, fused));
    println!(
        "{name:<32} forward {:7.2} -> {:6.2} ms ({:4.1}x)   with backward {:7.2} -> {:6.2} ms ({:4.1}x)",
        burn[0],
        fused[0],
        burn[0] / fused[0],
        burn[1],
        fused[1],
        burn[1] / fused[1]
    );
}

/// A mixture of experts for 2048 rows of 384, with gradients of all its inputs.
struct Mixture {
    x: Tensor<2>,
    experts: Experts,
    weights: Tensor<2>,
    chosen: Tensor<2, Int>,
    cotangent: Tensor<2>,
    rank: usize,
}

impl Mixture {
    fn new(count: usize, slots: usize, rank: usize) -> Self {
        let (rows, d) = (2048, 384);
        let device = Device::flex().autodiff();
        let random = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Default, &device);
        let scores = random([rows, count]);
        Self {
            x: random([rows, d]).require_grad(),
            experts: Experts {
                a: random([d, count * rank]).require_grad(),
                b: random([count * rank, d]).require_grad(),
                count,
            },
            weights: random([rows, slots]).require_grad(),
            chosen: scores.topk_with_indices(slots, 1).1,
            cotangent: random([rows, d]),
            rank,
        }
    }

    /// Milliseconds of `[forward, forward and backward]`, without those of the loss.
    fn time(&self, f: &dyn Fn(&Self, Tensor<2>) -> Tensor<2>) -> [f64; 2] {
        let loss = |f: &dyn Fn(&Self, Tensor<2>) -> Tensor<2>| {
            best(|| {
                let y = f(self, self.weights.clone());
                drop((y * self.cotangent.clone()).sum().backward());
            })
        };
        let forward = best(|| drop(f(self, self.weights.clone())));
        [forward, loss(f) - loss(&|mixture, _| mixture.x.clone())]
    }

    fn routing(&self, weights: Tensor<2>) -> Routing {
        Routing {
            credits: weights.clone(),
            weights,
            chosen: self.chosen.clone(),
        }
    }

    /// Every expert by itself, times its column of the weights.
    fn one_by_one(&self, weights: Tensor<2>) -> Tensor<2> {
        let [rows, _] = weights.dims();
        let zeros = Tensor::<2>::zeros([rows, self.experts.count], &weights.device());
        let update = burn::tensor::IndexingUpdateOp::Add;
        let gates = zeros.scatter(1, self.chosen.clone(), weights, update);
        let output = |expert: usize| {
            let range = expert * self.rank..(expert + 1) * self.rank;
            let a = self.experts.a.clone().slice_dim(1, range.clone());
            let b = self.experts.b.clone().slice_dim(0, range);
            let gate = gates.clone().slice_dim(1, expert..expert + 1);
            self.x.clone().matmul(a).matmul(b) * gate
        };
        let rest = (1..self.experts.count).map(output);
        rest.fold(output(0), |sum, y| sum + y)
    }
}

/// Prints one line per way to compute mixtures of several sizes.
fn mixtures() {
    for (count, slots, rank) in [(4, 2, 8), (20, 2, 8), (20, 5, 4), (20, 10, 4), (20, 20, 4)] {
        let mixture = Mixture::new(count, slots, rank);
        let print = |name: &str, f: &dyn Fn(&Mixture, Tensor<2>) -> Tensor<2>| {
            let [forward, both] = mixture.time(f);
            println!(
                "{slots:2} of {count:2} experts of rank {rank}, {name:<14} forward {forward:7.2} ms   with backward {both:7.2} ms"
            );
        };
        let dropped = Some((0.1, 7));
        let with = |m: &Mixture| (m.x.clone(), m.experts.clone());
        print("one by one", &Mixture::one_by_one);
        print("dense", &|m, w| {
            let (x, experts) = with(m);
            expert_mixture_dense(x, experts, m.routing(w), None)
        });
        print("fused", &|m, w| {
            let (x, experts) = with(m);
            expert_mixture(x, experts, m.routing(w), None)
        });
        print("fused, dropout", &|m, w| {
            let (x, experts) = with(m);
            expert_mixture(x, experts, m.routing(w), dropped)
        });
    }
}

fn main() {
    mixtures();
    let device = Device::flex();
    let wide = [2048, 1536];
    compare("gelu 3.1 M", wide, &activation::gelu, &gelu);
    compare(
        "gelu_tanh 3.1 M",
        wide,
        &activation::gelu_approximate,
        &gelu_tanh,
    );
    compare(
        "softmax 3.1 M, rows of 128",
        [16, 12, 128, 128],
        &|x| activation::softmax(x, 3),
        &softmax_last,
    );
    let bias = Tensor::<4>::zeros([16, 1, 1, 128], &device.clone().autodiff());
    let plain = bias.clone().inner();
    let pick = |x: &Tensor<4>| {
        if x.device().is_autodiff() {
            bias.clone()
        } else {
            plain.clone()
        }
    };
    compare(
        "scaled, biased softmax 3.1 M",
        [16, 12, 128, 128],
        &|x| activation::softmax(x.clone().mul_scalar(0.2) + pick(&x), 3),
        &|x| attention_softmax(x.clone(), 0.2, Some(pick(&x))),
    );
    compare(
        "dropout 3.1 M, p = 0.1",
        wide,
        &|x| {
            let mask = x.random_like(Distribution::Bernoulli(0.9)).detach();
            x * mask.div_scalar(0.9)
        },
        &|x| dropout(x, 0.1, 7),
    );
    for shape in [[2048, 384], [2048, 1536]] {
        let gamma = Tensor::<1>::ones([shape[1]], &device.clone().autodiff());
        let inner = gamma.clone().inner();
        let pick = |x: &Tensor<2>| {
            if x.device().is_autodiff() {
                gamma.clone()
            } else {
                inner.clone()
            }
        };
        compare(
            &format!("layer_norm {} x {}", shape[0], shape[1]),
            shape,
            &|x| module::layer_norm(x.clone(), pick(&x), Some(pick(&x)), 1e-5),
            &|x| layer_norm(x.clone(), pick(&x), pick(&x), 1e-5),
        );
    }
}
