//! Weights that a device of CubeCL keeps and unpacks itself, against the meaning of their codes.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Int, Tensor};

use crate::linear::{LowRankPair, linear_with_pair};
use crate::packed::{Codes, PackedRows, PackedWeight};
use crate::testing::{assert_close, assert_runs, cube_device, noise, slack, tensor, values, wide};

/// A multiplication and a sum, which the device may round once.
const RELATIVE: f64 = 2.5e-7;

#[derive(Debug)]
struct Coded {
    codes: Codes,
    values: Vec<f32>,
    dims: [usize; 2],
}

impl PackedRows for Coded {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }
    fn block(&self) -> usize {
        1
    }
    fn bytes(&self) -> usize {
        0
    }
    fn format(&self) -> &'static str {
        "codes"
    }
    fn unpack(&self, _: Range<usize>, _: Range<usize>, _: &mut [f32]) {
        panic!("the device unpacks");
    }
    fn codes(&self) -> Option<Codes> {
        Some(self.codes.clone())
    }
}

fn bytes(seed: u64, count: usize, below: f32) -> Vec<u8> {
    let draws = noise(seed, count, 0.499_99).into_iter();
    draws.map(|draw| ((draw + 0.5) * below) as u8).collect()
}

/// Half precision with its infinities, subnormals and zeros: value and bits.
const HALVES: [(u16, f32); 10] = [
    (0x0000, 0.0),
    (0x0001, 5.960_464_5e-8),
    (0x03ff, 6.097_555_2e-5),
    (0x0400, 6.103_515_6e-5),
    (0x3c00, 1.0),
    (0xc000, -2.0),
    (0x7bff, 65504.0),
    (0x3555, 0.333_251_95),
    (0x8001, -5.960_464_5e-8),
    (0xb800, -0.5),
];

/// A matrix of each form.
fn each(rows: usize) -> Vec<Coded> {
    let columns = 64;
    let count = rows * columns;
    let lines = |bits: usize, group: usize| {
        let codes = bytes(1, count, (1 << bits) as f32);
        let scales = noise(2, count / group, 1.0);
        let offsets = noise(3, count / group, 4.0);
        let value = |at: usize| scales[at / group] * f32::from(codes[at]) + offsets[at / group];
        let values = (0..count).map(value).collect();
        let codes = Codes::Lines {
            codes,
            bits,
            group,
            scales,
            offsets,
        };
        (codes, values, columns)
    };
    let table = {
        let codes = bytes(4, count, 16.0);
        let scales = noise(5, count / 64, 1.0);
        let table: [f32; 16] = noise(6, 16, 1.0).try_into().unwrap();
        let value = |at: usize| scales[at / 64] * table[usize::from(codes[at])];
        let values = (0..count).map(value).collect();
        let codes = Codes::Table {
            codes,
            group: 64,
            scales,
            table,
        };
        (codes, values, columns)
    };
    // Rows that end in the middle of a word.
    let odd = 7;
    let bits = noise(7, rows * odd, 3.0).into_iter();
    let bits: Vec<u16> = bits.map(|value| (value.to_bits() >> 16) as u16).collect();
    let values = bits
        .iter()
        .map(|bits| f32::from_bits(u32::from(*bits) << 16));
    let brain = (Codes::Bf16(bits.clone()), values.collect(), odd);
    let half = |at: usize| HALVES[at * 3 % HALVES.len()];
    let halves = (0..rows * odd).map(|at| half(at).0).collect();
    let halves = (
        Codes::F16(halves),
        (0..rows * odd).map(|at| half(at).1).collect(),
        odd,
    );
    let all = [lines(4, 32), lines(8, 16), table, brain, halves];
    all.map(|(codes, values, columns)| Coded {
        codes,
        values,
        dims: [rows, columns],
    })
    .into()
}

#[test]
fn codes_become_their_values() {
    let Some(device) = cube_device() else { return };
    for coded in each(37) {
        let (expected, [rows, columns]) = (wide(&coded.values), coded.dims);
        let packed = PackedWeight::of_inputs(Arc::new(coded));
        let mut found = vec![];
        assert_runs(&["unpack on cube"], || {
            found = values(packed.dense(&device));
        });
        assert_close(&found, &expected, 1e-6, RELATIVE);
        let turned = values(packed.transpose().dense(&device).transpose());
        assert_eq!(turned, found);
        // The last row, the first, and none.
        let ids = [rows as i32 - 1, 0, rows as i32, -1];
        let ids = Tensor::<1, Int>::from_data(ids, &device);
        let looked = values(packed.lookup(&ids));
        assert_eq!(&looked[..columns], &found[(rows - 1) * columns..]);
        assert_eq!(&looked[columns..2 * columns], &found[..columns]);
        assert!(looked[2 * columns..].iter().all(|value| value.is_nan()));
    }
}

#[test]
fn products_and_gradients_are_those_of_the_values() {
    let Some(device) = cube_device().map(burn::tensor::Device::autodiff) else {
        return;
    };
    for coded in each(24) {
        let [d_out, d_in] = coded.dims;
        let dense = tensor(&coded.values, coded.dims, &device).transpose();
        let packed = PackedWeight::of_outputs(Arc::new(coded));
        let draw = |seed: u64, shape: [usize; 2]| {
            tensor(&noise(seed, shape[0] * shape[1], 1.0), shape, &device)
        };
        let run = |weight: crate::Factor| {
            let (x, a, b) = (draw(1, [5, d_in]), draw(2, [d_in, 3]), draw(3, [3, d_out]));
            let trained = [x, a, b].map(Tensor::require_grad);
            let [x, a, b] = trained.clone();
            let pair = LowRankPair {
                a,
                b,
                scale: 0.3,
                input: None,
            };
            let y = linear_with_pair(x, weight, None, pair);
            let grads = (y.clone() * draw(4, [5, d_out])).sum().backward();
            let grads = trained.map(|tensor| values(tensor.grad(&grads).unwrap()));
            std::iter::once(values(y)).chain(grads).collect::<Vec<_>>()
        };
        let (expected, found) = (run(dense.into()), run(packed.into()));
        for (found, expected) in found.iter().zip(&expected) {
            let largest = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            let absolute = slack(&device) * 1e-6 * f64::from(largest);
            assert_close(found, &wide(expected), absolute, 1e-5);
        }
    }
}
