//! Products with packed weights against those with the same values as a tensor, whatever is wider than a tile.

#[cfg(feature = "cube")]
mod on_device;

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use proptest::prelude::*;

use super::{Codes, Factor, Nf4, PackedRows, PackedWeight};
use crate::linear::{LowRankPair, linear, linear_with_pair};
use crate::testing::{assert_close, device, noise, other_devices, tensor, values, wide};

/// Sums of up to 5,000 products of at most 1 in another order.
const ABSOLUTE: f64 = 2e-3;
const RELATIVE: f64 = 1e-5;

/// Bytes that are worth a 127th each, some of which come together.
#[derive(Debug)]
struct Bytes {
    values: Vec<i8>,
    dims: [usize; 2],
    block: usize,
}

impl Bytes {
    fn new(dims: [usize; 2], block: usize, seed: u64) -> Arc<Self> {
        let draws = noise(seed, dims[0] * dims[1], 1.0);
        Arc::new(Self {
            values: draws.iter().map(|value| (value * 127.0) as i8).collect(),
            dims,
            block,
        })
    }

    fn as_numbers(&self) -> Vec<f32> {
        self.values.iter().map(|value| number(*value)).collect()
    }
}

fn number(value: i8) -> f32 {
    f32::from(value) / 127.0
}

impl PackedRows for Bytes {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }
    fn block(&self) -> usize {
        self.block
    }
    fn bytes(&self) -> usize {
        self.values.len()
    }
    fn format(&self) -> &'static str {
        "bytes"
    }
    fn unpack(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        let whole = |at: usize| at.is_multiple_of(self.block) && at <= self.dims[1];
        assert!(whole(columns.start) && whole(columns.end) && rows.end <= self.dims[0]);
        assert_eq!(values.len(), rows.len() * columns.len());
        let rows = self.values.chunks(self.dims[1]).skip(rows.start);
        for (row, values) in rows.zip(values.chunks_mut(columns.len().max(1))) {
            let row = &row[columns.clone()];
            for (value, packed) in values.iter_mut().zip(row) {
                *value = number(*packed);
            }
        }
    }
}

/// A layer in both forms, its rows those of outputs or of inputs.
struct Layer {
    packed: PackedWeight,
    dense: Vec<f32>,
    dims: [usize; 2],
}

impl Layer {
    fn new(dims: [usize; 2], block: usize, of_outputs: bool) -> Self {
        let [d_in, d_out] = dims;
        let stored = if of_outputs { [d_out, d_in] } else { dims };
        let rows = Bytes::new(stored, block, 7);
        let numbers = rows.as_numbers();
        let (packed, dense) = match of_outputs {
            false => (PackedWeight::of_inputs(rows), numbers),
            true => {
                let at = |index: usize| numbers[index % d_out * d_in + index / d_out];
                let dense = (0..d_in * d_out).map(at).collect();
                (PackedWeight::of_outputs(rows), dense)
            }
        };
        Self {
            packed,
            dense,
            dims,
        }
    }

    /// Output and gradients of all that trains, with a pair beside the weight or none.
    fn run(&self, weight: impl Into<Factor>, rows: usize, pair: bool) -> Vec<Vec<f32>> {
        const RANK: usize = 3;
        let [d_in, d_out] = self.dims;
        let device = device();
        let draw = |seed: u64, shape: [usize; 2]| {
            tensor(&noise(seed, shape[0] * shape[1], 1.0), shape, &device).require_grad()
        };
        let (x, a, b) = (
            draw(1, [rows, d_in]),
            draw(2, [d_in, RANK]),
            draw(3, [RANK, d_out]),
        );
        let bias = Tensor::<1>::from_data(&*noise(4, d_out, 1.0), &device);
        let cotangent = tensor(&noise(5, rows * d_out, 1.0), [rows, d_out], &device);
        let y = if pair {
            let pair = LowRankPair {
                a: a.clone(),
                b: b.clone(),
                scale: 0.1,
                input: None,
            };
            linear_with_pair(x.clone(), weight, Some(bias), pair)
        } else {
            linear(x.clone(), weight, Some(bias))
        };
        let grads = (y.clone() * cotangent).sum().backward();
        let trained = if pair { vec![x, a, b] } else { vec![x] };
        let mut found = vec![values(y)];
        found.extend(trained.iter().map(|x| values(x.grad(&grads).unwrap())));
        found
    }

    fn check(&self, rows: usize) {
        let dense = || tensor(&self.dense, self.dims, &device());
        for pair in [false, true] {
            let expected = self.run(dense(), rows, pair);
            let found = self.run(self.packed.clone(), rows, pair);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(found, &wide(expected), ABSOLUTE, RELATIVE);
            }
        }
        let all = values(self.packed.dense(&device()));
        assert_eq!(all, self.dense);
        let turned = values(self.packed.transpose().dense(&device()).transpose());
        assert_eq!(turned, self.dense);
    }
}

#[test]
fn weights_larger_than_tiles_give_the_products_of_their_values() {
    // More inner values than a tile is deep or high; wider than a strip; blocks that cut neither evenly. Few rows and more.
    for (dims, block) in [
        ([4608, 96], 256),
        ([64, 2304], 32),
        ([300, 1312], 1),
        ([1, 1], 1),
    ] {
        let layer = Layer::new(dims, block.min(dims[0]), true);
        [1, 5, 19].into_iter().for_each(|rows| layer.check(rows));
    }
    for (dims, block) in [
        ([96, 4608], 256),
        ([2304, 64], 32),
        ([300, 1312], 1),
        // Threads share it in the middle of a block.
        ([512, 288], 32),
        ([1, 1], 1),
    ] {
        let layer = Layer::new(dims, block, false);
        [1, 5, 19].into_iter().for_each(|rows| layer.check(rows));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn products_are_those_of_the_values(
        rows in 1_usize..40, d_in in 1_usize..6, d_out in 1_usize..300, of_outputs: bool,
    ) {
        let d_in = d_in * 32;
        let dims = if of_outputs { [d_in, d_out] } else { [d_out, d_in] };
        Layer::new(dims, 32, of_outputs).check(rows);
    }
}

/// How many threads there are is no part of a result, whatever is left over at the edges of what they share.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for (dims, rows) in [
        ([4608, 640], 33),
        ([640, 4608], 33),
        ([2048, 1301], 17),
        ([1024, 270], 1),
        ([640, 2330], 7),
        ([512, 97], 260),
    ] {
        for of_outputs in [true, false] {
            let layer = Layer::new(dims, 1, of_outputs);
            let run = |threads: usize, weight: &Factor| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.unwrap()
                    .install(|| layer.run(weight.clone(), rows, true))
            };
            let dense = tensor(&layer.dense, layer.dims, &device());
            for weight in [Factor::from(dense), Factor::from(layer.packed.clone())] {
                let alone = run(1, &weight);
                for threads in [2, 3, 8] {
                    for (at, (found, alone)) in run(threads, &weight).iter().zip(&alone).enumerate()
                    {
                        let differ = found.iter().zip(alone).filter(|(a, b)| a != b).count();
                        assert_eq!(
                            differ, 0,
                            "{rows} x {dims:?}, {threads} threads, result {at}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn other_backends_unpack_the_weight() {
    let layer = Layer::new([64, 40], 32, true);
    let expected = values(linear(
        tensor(&noise(1, 3 * 64, 1.0), [3, 64], &device()),
        layer.packed.clone(),
        None,
    ));
    for device in other_devices() {
        let x = tensor(&noise(1, 3 * 64, 1.0), [3, 64], &device);
        let found = values(linear(x, layer.packed.clone(), None));
        assert_close(&found, &wide(&expected), ABSOLUTE, RELATIVE);
    }
}

#[test]
fn rows_are_looked_up_in_both_orientations() {
    let ids = Tensor::<1, Int>::from_data([2, 0, 2], &device());
    for of_outputs in [false, true] {
        let layer = Layer::new([3, 32], if of_outputs { 1 } else { 32 }, of_outputs);
        let found = values(layer.packed.lookup(&ids));
        let row = |at: usize| layer.dense[at * 32..(at + 1) * 32].to_vec();
        assert_eq!(found, [row(2), row(0), row(2)].concat());
    }
}

#[test]
#[should_panic(expected = "the id 3 is not one of the 3 of the table")]
fn an_id_beyond_the_table_is_a_mistake_of_the_caller() {
    let ids = Tensor::<1, Int>::from_data([3], &device());
    let _ = Layer::new([3, 32], 32, false).packed.lookup(&ids);
}

#[test]
fn codes_of_nf4_mean_its_values() {
    let stored = Nf4::quantised(&noise(3, 3 * 128, 1.0), [3, 128]).unwrap();
    let mut expected = vec![0.0; 3 * 128];
    stored.unpack(0..3, 0..128, &mut expected);
    let kept = PackedRows::codes(&stored).unwrap();
    let group = kept.group();
    let Codes::Table {
        codes,
        scales,
        table,
        ..
    } = kept
    else {
        panic!("{kept:?}");
    };
    let value = |(at, code): (usize, &u8)| table[usize::from(*code)] * scales[at / group];
    let found: Vec<f32> = codes.iter().enumerate().map(value).collect();
    assert_eq!(found, expected);
}
