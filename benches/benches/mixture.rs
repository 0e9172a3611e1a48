//! One training step of mixtures of experts on every linear layer: more experts at the same number per token; and one layer's forward and
//! backward by the ways to compute it: the chosen experts alone, all of them side by side, or one after the other.

use burn::optim::AdamWConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use criterion::{Criterion, Throughput};
use peft_benches::methods::{LONG, spec_of, step};
use peft_benches::{ADAPTER, Adapted, base, batch_of};
use peft_core::attach;
use peft_kernels::{Experts, Routing, expert_mixture, expert_mixture_dense};
use peft_moe::MoeLora;

/// Experts, how many of them a token goes to, and the rank of each.
const STEPS: [(usize, usize, usize); 3] = [(4, 2, 8), (20, 2, 8), (20, 10, 4)];
const D: usize = 384;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    steps(&mut criterion);
    ways(&mut criterion);
    criterion.final_summary();
}

fn steps(criterion: &mut Criterion) {
    let device = Device::default().autodiff();
    let batch = batch_of(LONG.0, LONG.1, &device);
    let mut group = criterion.benchmark_group("mixture/step");
    group.throughput(Throughput::Elements((LONG.0 * LONG.1) as u64));
    for (experts, top_k, rank) in STEPS {
        let method = MoeLora {
            experts,
            top_k,
            ..MoeLora::default()
        };
        let mut spec = spec_of(Adapted::AllLinear, Box::new(method));
        spec.rank = rank;
        let base = base(&device);
        let (model, _) = attach(base.model, &base.names, ADAPTER, &spec, 1).expect("attaches");
        let mut model = Some(model);
        let mut optimizer = AdamWConfig::new().init();
        group.bench_function(
            format!("{experts} experts, {top_k} per token, rank {rank}"),
            |bencher| {
                bencher.iter(|| {
                    let current = model.take().expect("every step puts a model back");
                    model = Some(step(current, &mut optimizer, &batch));
                });
            },
        );
    }
    group.finish();
}

/// Inputs of one layer.
struct Layer {
    x: Tensor<2>,
    experts: Experts,
    routing: Routing,
}

impl Layer {
    fn new((experts, top_k, rank): (usize, usize, usize)) -> Self {
        let device = Device::default().autodiff();
        let rows = LONG.0 * LONG.1;
        let numbers = |seed: usize, shape: [usize; 2]| -> Tensor<2> {
            let number = |i: usize| (((seed * 131 + i * 71) as f32) * 0.37).sin();
            let values: Vec<f32> = (0..shape[0] * shape[1]).map(number).collect();
            Tensor::from_data(TensorData::new(values, shape), &device)
        };
        let chosen: Vec<i32> = (0..rows * top_k)
            .map(|at| ((at / top_k * 7 + at % top_k) % experts) as i32)
            .collect();
        let weights = numbers(4, [rows, top_k]);
        Self {
            x: numbers(1, [rows, D]).require_grad(),
            experts: Experts {
                a: numbers(2, [D, experts * rank]).require_grad(),
                b: numbers(3, [experts * rank, D]).require_grad(),
                count: experts,
            },
            routing: Routing {
                credits: weights.clone(),
                weights: weights.require_grad(),
                chosen: Tensor::<2, Int>::from_data(
                    TensorData::new(chosen, [rows, top_k]),
                    &device,
                ),
            },
        }
    }

    /// Every expert on every row, one after the other, as a direct translation of the formula has it.
    fn one_by_one(&self) -> Tensor<2> {
        let Experts { a, b, count } = &self.experts;
        let rank = a.dims()[1] / count;
        let rows = self.x.dims()[0];
        let zeros = Tensor::<2>::zeros([rows, *count], &self.x.device());
        let gates = zeros.scatter(
            1,
            self.routing.chosen.clone(),
            self.routing.weights.clone(),
            burn::tensor::IndexingUpdateOp::Add,
        );
        let expert = |at: usize| {
            let own = at * rank..(at + 1) * rank;
            let hidden = self.x.clone().matmul(a.clone().slice([0..D, own.clone()]));
            let output = hidden.matmul(b.clone().slice([own, 0..D]));
            output * gates.clone().slice([0..rows, at..at + 1])
        };
        (0..*count)
            .map(expert)
            .reduce(|a, b| a + b)
            .expect("experts")
    }
}

fn ways(criterion: &mut Criterion) {
    for shape in STEPS {
        let layer = Layer::new(shape);
        let (experts, top_k, rank) = shape;
        let name = format!("mixture/{experts} experts, {top_k} per token, rank {rank}");
        let mut group = criterion.benchmark_group(name);
        let inputs = || {
            (
                layer.x.clone(),
                layer.experts.clone(),
                layer.routing.clone(),
            )
        };
        group.bench_function("chosen alone", |bencher| {
            bencher.iter(|| {
                let (x, experts, routing) = inputs();
                expert_mixture(x, experts, routing, None).sum().backward()
            });
        });
        group.bench_function("side by side", |bencher| {
            bencher.iter(|| {
                let (x, experts, routing) = inputs();
                expert_mixture_dense(x, experts, routing, None)
                    .sum()
                    .backward()
            });
        });
        group.bench_function("one by one", |bencher| {
            bencher.iter(|| layer.one_by_one().sum().backward());
        });
        group.finish();
    }
}
