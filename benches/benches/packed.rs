//! Packed weights of 2048 x 2048: unpacking them on one thread, and products of few and of many rows with them, forward and for the
//! gradient of the input, beside those with the same weight in f32.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput};
use peft_gguf::block::quantise;
use peft_gguf::{GgmlType, PackedTensor};
use peft_kernels::{Factor, Nf4, PackedRows, PackedWeight, linear};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WIDTH: usize = 2048;
/// Rows of the products: a token that is written, some prompts at once, a step.
const ROWS: [usize; 4] = [1, 8, 32, 128];
const FORMATS: [GgmlType; 10] = [
    GgmlType::BF16,
    GgmlType::F16,
    GgmlType::Q4_0,
    GgmlType::Q4_1,
    GgmlType::Q5_0,
    GgmlType::Q5_1,
    GgmlType::Q8_0,
    GgmlType::Q4_K,
    GgmlType::Q5_K,
    GgmlType::Q6_K,
];

/// A matrix in a block format of ggml, as models keep it.
#[derive(Debug)]
struct Blocks(PackedTensor);

impl PackedRows for Blocks {
    fn dims(&self) -> [usize; 2] {
        [WIDTH; 2]
    }
    fn block(&self) -> usize {
        self.0.kind().block_values() as usize
    }
    fn bytes(&self) -> usize {
        self.0.bytes().len()
    }
    fn format(&self) -> &'static str {
        self.0.kind().name()
    }
    fn unpack(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        let tile = self.0.dequantise_tile(rows, columns, values);
        tile.expect("whole blocks of a format that is read");
    }
}

/// The same values in every format.
fn weights(values: &[f32]) -> Vec<Arc<dyn PackedRows>> {
    let nf4 = Nf4::quantised(values, [WIDTH; 2]).expect("whole blocks");
    let mut all: Vec<Arc<dyn PackedRows>> = vec![Arc::new(nf4)];
    for kind in FORMATS {
        let mut bytes = Vec::new();
        quantise(kind, values, &mut bytes).expect("finite values");
        let tensor = PackedTensor::new(kind, &[WIDTH as u64; 2], bytes.into());
        all.push(Arc::new(Blocks(tensor.expect("a whole matrix"))));
    }
    all
}

fn unpacking(criterion: &mut Criterion, weights: &[Arc<dyn PackedRows>]) {
    let mut group = criterion.benchmark_group("unpack");
    group.throughput(Throughput::Bytes((WIDTH * WIDTH * size_of::<f32>()) as u64));
    let mut values = vec![0.0; WIDTH];
    for weight in weights {
        group.bench_function(weight.format(), |bencher| {
            bencher.iter(|| {
                for row in 0..WIDTH {
                    weight.unpack(row..row + 1, 0..WIDTH, &mut values);
                }
            });
        });
    }
    group.finish();
}

/// Products of some rows with each weight, whose rows are those of outputs (`forward`) or of inputs (`backward`).
fn products(criterion: &mut Criterion, weights: &[Arc<dyn PackedRows>], dense: &Tensor<2>) {
    for rows in ROWS {
        let x = Tensor::<2>::random(
            [rows, WIDTH],
            Distribution::Uniform(-1.0, 1.0),
            &dense.device(),
        );
        let factors = |forward: bool| {
            let dense = Factor::from(match forward {
                true => dense.clone().transpose(),
                false => dense.clone(),
            });
            let packed = weights.iter().map(move |weight| {
                let rows = Arc::clone(weight);
                Factor::from(match forward {
                    true => PackedWeight::of_outputs(rows),
                    false => PackedWeight::of_inputs(rows),
                })
            });
            let names = weights.iter().map(|weight| weight.format());
            std::iter::once(("F32", dense)).chain(names.zip(packed))
        };
        for (name, forward) in [("forward", true), ("backward", false)] {
            let mut group = criterion.benchmark_group(format!("{name}-{rows}"));
            for (format, factor) in factors(forward) {
                group.bench_function(BenchmarkId::from_parameter(format), |bencher| {
                    bencher.iter(|| linear(x.clone(), factor.clone(), None));
                });
            }
            group.finish();
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut draw = ChaCha8Rng::seed_from_u64(1);
    let values: Vec<f32> = (0..WIDTH * WIDTH)
        .map(|_| draw.random_range(-0.1..0.1))
        .collect();
    let weights = weights(&values);
    let dense = Tensor::<1>::from_data(values.as_slice(), &Device::flex());
    unpacking(&mut criterion, &weights);
    products(&mut criterion, &weights, &dense.reshape([WIDTH, WIDTH]));
    criterion.final_summary();
}
