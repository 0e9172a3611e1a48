//! Products with a weight and a low-rank pair against f64, whatever trains and however the inputs lie in memory.

#[cfg(feature = "cube")]
mod cube;

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::{LowRankPair, linear, linear_with_pair, product};
use crate::testing::{assert_close, device, noise, other_devices, slack, tensor, values, wide};

/// Sums of up to 300 products of at most 1, and of at most 8 such sums.
const ABSOLUTE: f64 = 1e-4;
const RELATIVE: f64 = 1e-5;
const SCALE: f64 = 1.5;

/// A matrix in f64.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn new(values: &[f32], [rows, columns]: [usize; 2]) -> Self {
        Self {
            rows,
            columns,
            values: wide(values),
        }
    }

    fn transposed(&self) -> Self {
        let at = |index: usize| self.values[index % self.rows * self.columns + index / self.rows];
        Self {
            rows: self.columns,
            columns: self.rows,
            values: (0..self.values.len()).map(at).collect(),
        }
    }

    fn times(&self, other: &Self) -> Self {
        let mut values = vec![0.0; self.rows * other.columns];
        for row in 0..self.rows {
            for inner in 0..self.columns {
                let factor = self.values[row * self.columns + inner];
                for column in 0..other.columns {
                    values[row * other.columns + column] +=
                        factor * other.values[inner * other.columns + column];
                }
            }
        }
        Self {
            rows: self.rows,
            columns: other.columns,
            values,
        }
    }

    fn plus(mut self, factor: f64, other: &Self) -> Self {
        let pairs = self.values.iter_mut().zip(&other.values);
        pairs.for_each(|(value, add)| *value += factor * add);
        self
    }
}

/// The output, the gradients of `x`, `a` and `b`; and that of the pair's own input.
struct Expected {
    of_layer: [Vec<f64>; 4],
    d_input: Vec<f64>,
}

struct Case {
    sizes: [usize; 4],
    x: Vec<f32>,
    z: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    cotangent: Vec<f32>,
}

impl Case {
    fn new([rows, d_in, d_out, rank]: [usize; 4], seed: u64) -> Self {
        let draw = |at: u64, count: usize| noise(seed ^ at, count, 1.0);
        Self {
            sizes: [rows, d_in, d_out, rank],
            x: draw(1, rows * d_in),
            z: draw(2, rows * d_in),
            weight: draw(3, d_in * d_out),
            bias: draw(4, d_out),
            a: draw(5, d_in * rank),
            b: draw(6, rank * d_out),
            cotangent: draw(7, rows * d_out),
        }
    }

    fn matrices(&self) -> [Matrix; 6] {
        let [rows, d_in, d_out, rank] = self.sizes;
        [
            Matrix::new(&self.x, [rows, d_in]),
            Matrix::new(&self.z, [rows, d_in]),
            Matrix::new(&self.weight, [d_in, d_out]),
            Matrix::new(&self.a, [d_in, rank]),
            Matrix::new(&self.b, [rank, d_out]),
            Matrix::new(&self.cotangent, [rows, d_out]),
        ]
    }

    /// `x W + bias`, and the gradients of `x`, the weight and the bias.
    fn plain(&self) -> [Vec<f64>; 4] {
        let [x, _, weight, _, _, g] = self.matrices();
        let [rows, _, d_out, _] = self.sizes;
        let ones = Matrix::new(&vec![1.0; rows], [rows, 1]);
        let y = x
            .times(&weight)
            .plus(1.0, &ones.times(&Matrix::new(&self.bias, [1, d_out])));
        [
            y.values,
            g.times(&weight.transposed()).values,
            x.transposed().times(&g).values,
            ones.transposed().times(&g).values,
        ]
    }

    /// The pair's part of the output, and the gradients of its input and its factors.
    fn pair(&self, input: &Matrix) -> [Matrix; 4] {
        let [_, _, _, a, b, g] = self.matrices();
        let through = g.times(&b.transposed());
        [
            input.times(&a).times(&b),
            through.times(&a.transposed()),
            input.transposed().times(&through),
            input.times(&a).transposed().times(&g),
        ]
    }

    /// What [`linear_with_pair`] gives, from the layer alone and the pair alone.
    fn with_pair(&self, own: bool, with_bias: bool) -> Expected {
        let [of_x, of_z, ..] = self.matrices();
        let [y, dx, _, _] = self.plain();
        let [delta, d_input, d_a, d_b] = self.pair(if own { &of_z } else { &of_x });
        let scaled = |what: &Matrix| what.values.iter().map(|value| SCALE * value).collect();
        let sum = |to: Vec<f64>, what: Vec<f64>| to.iter().zip(what).map(|(a, b)| a + b).collect();
        let bias = wide(&self.bias).repeat(self.sizes[0]);
        let without = |y: Vec<f64>| y.iter().zip(&bias).map(|(y, bias)| y - bias).collect();
        Expected {
            of_layer: [
                sum(if with_bias { y } else { without(y) }, scaled(&delta)),
                if own { dx } else { sum(dx, scaled(&d_input)) },
                scaled(&d_a),
                scaled(&d_b),
            ],
            d_input: scaled(&d_input),
        }
    }

    fn check_plain(&self, device: &Device, transposed: bool) {
        let slack = slack(device);
        let [rows, d_in, d_out, _] = self.sizes;
        let x = tensor(&self.x, [rows, d_in], device).require_grad();
        let weight = tensor(&self.weight, [d_in, d_out], device).require_grad();
        let bias = tensor(&self.bias, [d_out], device).require_grad();
        let view = |x: &Tensor<2>| match transposed {
            true => (x.clone().transpose() + 0.0).transpose(),
            false => x.clone(),
        };
        let y = linear(view(&x), view(&weight), Some(bias.clone()));
        let cotangent = tensor(&self.cotangent, [rows, d_out], device);
        let grads = (y.clone() * cotangent).sum().backward();
        let found = [
            values(y),
            values(x.grad(&grads).unwrap()),
            values(weight.grad(&grads).unwrap()),
            values(bias.grad(&grads).unwrap()),
        ];
        for (found, expected) in found.iter().zip(&self.plain()) {
            assert_close(found, expected, slack * ABSOLUTE, slack * RELATIVE);
        }
    }

    fn check_pair(&self, device: &Device, own: bool, with_bias: bool) {
        let slack = slack(device);
        let [rows, d_in, d_out, rank] = self.sizes;
        let x = tensor(&self.x, [rows, d_in], device).require_grad();
        let z = tensor(&self.z, [rows, d_in], device).require_grad();
        let a = tensor(&self.a, [d_in, rank], device).require_grad();
        let b = tensor(&self.b, [rank, d_out], device).require_grad();
        let pair = LowRankPair {
            a: a.clone(),
            b: b.clone(),
            scale: SCALE,
            input: own.then(|| z.clone()),
        };
        let weight = tensor(&self.weight, [d_in, d_out], device);
        let bias = with_bias.then(|| tensor(&self.bias, [d_out], device));
        let y = linear_with_pair(x.clone(), weight, bias, pair);
        let cotangent = tensor(&self.cotangent, [rows, d_out], device);
        let grads = (y.clone() * cotangent).sum().backward();

        let found = [
            y,
            x.grad(&grads).unwrap(),
            a.grad(&grads).unwrap(),
            b.grad(&grads).unwrap(),
        ];
        let expected = self.with_pair(own, with_bias);
        for (found, expected) in found.into_iter().map(values).zip(&expected.of_layer) {
            assert_close(&found, expected, slack * ABSOLUTE, slack * RELATIVE);
        }
        if own {
            let d_z = values(z.grad(&grads).unwrap());
            assert_close(&d_z, &expected.d_input, slack * ABSOLUTE, slack * RELATIVE);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn output_and_gradients_are_those_of_the_formula(
        rows in 1_usize..70, d_in in 1_usize..50, d_out in 1_usize..50, rank in 1_usize..9, seed: u64,
    ) {
        let case = Case::new([rows, d_in, d_out, rank], seed);
        case.check_plain(&device(), false);
        case.check_plain(&device(), true);
        for (own, with_bias) in [(false, true), (true, true), (false, false), (true, false)] {
            case.check_pair(&device(), own, with_bias);
        }
    }
}

#[test]
fn blocks_of_a_large_output_meet() {
    let case = Case::new([301, 130, 540, 8], 5);
    case.check_plain(&device(), false);
    case.check_plain(&device(), true);
    case.check_pair(&device(), false, true);
}

#[test]
fn other_backends_agree() {
    for device in other_devices() {
        let case = Case::new([7, 12, 5, 3], 3);
        case.check_plain(&device.clone().autodiff(), false);
        case.check_pair(&device.clone().autodiff(), true, true);
        case.check_pair(&device.autodiff(), false, false);
    }
}

#[test]
fn no_rows_and_no_columns_are_no_values() {
    for autodiff in [Device::flex(), device()] {
        let y = product(
            Tensor::ones([0, 3], &autodiff),
            Tensor::ones([3, 2], &autodiff),
        );
        assert_eq!(y.dims(), [0, 2]);
        let y = product(
            Tensor::ones([2, 0], &autodiff),
            Tensor::ones([0, 3], &autodiff),
        );
        assert_eq!(values(y), [0.0; 6]);
    }
}

#[test]
fn nan_passes_through_its_row_and_no_other() {
    let mut x = noise(1, 40 * 30, 1.0);
    x[30 * 7 + 3] = f32::NAN;
    let y = product(
        tensor(&x, [40, 30], &device()),
        tensor(&noise(2, 30 * 20, 1.0), [30, 20], &device()),
    );
    for (row, values) in values(y).chunks(20).enumerate() {
        assert!(
            values.iter().all(|value| value.is_nan() == (row == 7)),
            "row {row}"
        );
    }
}

#[cfg(feature = "flex")]
#[test]
fn every_number_of_threads_gives_the_same_bytes() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            [[601, 384, 900], [1500, 90, 8], [64, 2000, 300]].map(|[rows, inner, columns]| {
                let x = tensor(&noise(1, rows * inner, 1.0), [rows, inner], &Device::flex());
                let y = tensor(
                    &noise(2, inner * columns, 1.0),
                    [inner, columns],
                    &Device::flex(),
                );
                values(product(x, y))
            })
        })
    };
    let alone = run(1);
    for threads in [2, 3, 7] {
        assert!(run(threads) == alone, "{threads} threads");
    }
}

#[cfg(feature = "flex")]
#[test]
fn a_frozen_layer_under_frozen_inputs_is_not_tracked() {
    let ones = |shape: [usize; 2]| Tensor::<2>::ones(shape, &device());
    let y = linear(
        ones([2, 3]),
        ones([3, 4]),
        Some(Tensor::ones([4], &device())),
    );
    assert!(!crate::testing::is_tracked(y));
}
