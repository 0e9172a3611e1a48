//! The kernels on AVX512-BF16. This file alone in the project has unsafe code: what a processor has is known when a program runs, and a
//! vector of bfloat16 is made from bytes by nothing that is safe.
#![allow(
    unsafe_code,
    reason = "calls of functions for a processor that was found, and vectors as arrays"
)]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_permutexvar_epi16,
    _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::mem::transmute;

use faer::Accum;

use crate::portable;
use crate::{HEIGHT, LANES, Pair, Tile};

/// Proof that this processor has the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(());

impl Token {
    pub(crate) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16");
        found.then_some(Self(()))
    }

    pub(crate) fn round(self, values: &[f32], pairs: &mut [Pair]) {
        // SAFETY: a token says that the processor has the features of the function.
        unsafe { round(values, pairs) }
    }

    pub(crate) fn interleave(self, upper: &[f32], lower: &[f32], pairs: &mut [Pair]) {
        // SAFETY: as above.
        unsafe { interleave(upper, lower, pairs) }
    }

    pub(crate) fn interleave_rounded(self, upper: &[Pair], lower: &[Pair], pairs: &mut [Pair]) {
        // SAFETY: as above.
        unsafe { interleave_rounded(upper, lower, pairs) }
    }

    pub(crate) fn round_upright(self, columns: [&[f32]; LANES], pairs: &mut [Pair], width: usize) {
        // SAFETY: as above.
        unsafe { round_upright(columns, pairs, width) }
    }

    pub(crate) fn multiply(
        self,
        rows: [&[Pair]; HEIGHT],
        columns: &[Pair],
        vectors: usize,
        how: Accum,
        tile: &mut Tile,
    ) {
        // SAFETY: as above.
        unsafe {
            match vectors {
                1 => multiply::<1>(rows, columns, how, tile),
                2 => multiply::<2>(rows, columns, how, tile),
                _ => multiply::<3>(rows, columns, how, tile),
            }
        }
    }
}

// SAFETY of all below: both types are 64 bytes, and every value of these is one of either.

fn floats(values: &[f32; LANES]) -> __m512 {
    unsafe { transmute::<[f32; LANES], __m512>(*values) }
}

fn values(floats: __m512) -> [f32; LANES] {
    unsafe { transmute::<__m512, [f32; LANES]>(floats) }
}

fn vector(pairs: [Pair; LANES]) -> __m512i {
    unsafe { transmute::<[Pair; LANES], __m512i>(pairs) }
}

fn rounded(pairs: &[Pair; LANES]) -> __m512bh {
    unsafe { transmute::<[Pair; LANES], __m512bh>(*pairs) }
}

fn same_pair(pair: __m512i) -> __m512bh {
    unsafe { transmute::<__m512i, __m512bh>(pair) }
}

fn integers(rounded: __m512bh) -> __m512i {
    unsafe { transmute::<__m512bh, __m512i>(rounded) }
}

fn to_pairs(integers: __m512i) -> [Pair; LANES] {
    unsafe { transmute::<__m512i, [Pair; LANES]>(integers) }
}

fn words(places: [u16; 2 * LANES]) -> __m512i {
    unsafe { transmute::<[u16; 2 * LANES], __m512i>(places) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn round(values: &[f32], out: &mut [Pair]) {
    let (blocks, rest) = values.as_chunks::<{ 2 * LANES }>();
    let (out, rest_out) = out.split_at_mut(blocks.len() * LANES);
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<LANES>().0) {
        let [first, second] = block.as_chunks::<LANES>().0 else {
            unreachable!("a block is two vectors")
        };
        *out = to_pairs(integers(_mm512_cvtne2ps_pbh(floats(second), floats(first))));
    }
    portable::round(rest, rest_out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn round_upright(columns: [&[f32]; LANES], pairs: &mut [Pair], width: usize) {
    let length = columns[0].len();
    let blocks = columns.map(|column| column[..length].as_chunks::<{ 2 * LANES }>().0);
    let whole = length / (2 * LANES);
    let mut square = [_mm512_setzero_si512(); LANES];
    for block in 0..whole {
        // No closures: what they are called from has not the features, and would not take them in.
        for (row, blocks) in square.iter_mut().zip(&blocks) {
            let [first, second] = blocks[block].as_chunks::<LANES>().0 else {
                unreachable!("a block is two vectors")
            };
            *row = integers(_mm512_cvtne2ps_pbh(floats(second), floats(first)));
        }
        transpose(&mut square);
        let pairs = pairs[LANES * block * width..].chunks_mut(width);
        for (row, out) in square.iter().zip(pairs) {
            out[..LANES].copy_from_slice(&to_pairs(*row));
        }
    }
    portable::round_upright(columns, LANES * whole, pairs, width);
}

/// Rows of pairs to columns.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn transpose(square: &mut [__m512i; LANES]) {
    // Within quarters of vectors: pairs of two rows in turn, then of four.
    for rows in square.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *rows;
        let (ab, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        *rows = [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    // Then quarters change places.
    for at in 0..4 {
        let [a, b, c, d] = [square[at], square[4 + at], square[8 + at], square[12 + at]];
        let (ab, ab_high) = (
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(a, b),
        );
        let (cd, cd_high) = (
            _mm512_shuffle_i32x4::<0x88>(c, d),
            _mm512_shuffle_i32x4::<0xdd>(c, d),
        );
        square[at] = _mm512_shuffle_i32x4::<0x88>(ab, cd);
        square[8 + at] = _mm512_shuffle_i32x4::<0xdd>(ab, cd);
        square[4 + at] = _mm512_shuffle_i32x4::<0x88>(ab_high, cd_high);
        square[12 + at] = _mm512_shuffle_i32x4::<0xdd>(ab_high, cd_high);
    }
}

/// Words of the first half and of the second in turn.
const IN_TURN: [u16; 2 * LANES] = {
    let mut places = [0; 2 * LANES];
    let mut at = 0;
    while at < LANES {
        places[2 * at] = at as u16;
        places[2 * at + 1] = (LANES + at) as u16;
        at += 1;
    }
    places
};

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn interleave(upper: &[f32], lower: &[f32], pairs: &mut [Pair]) {
    let in_turn = words(IN_TURN);
    let (uppers, upper_rest) = upper.as_chunks::<LANES>();
    let (lowers, lower_rest) = lower.as_chunks::<LANES>();
    let (out, out_rest) = pairs.as_chunks_mut::<LANES>();
    for ((upper, lower), out) in uppers.iter().zip(lowers).zip(out.iter_mut()) {
        let halves = integers(_mm512_cvtne2ps_pbh(floats(lower), floats(upper)));
        *out = to_pairs(_mm512_permutexvar_epi16(in_turn, halves));
    }
    if !upper_rest.is_empty() {
        let out_rest = match out.get_mut(uppers.len()) {
            Some(out) => &mut out[..],
            None => out_rest,
        };
        portable::interleave(upper_rest, lower_rest, out_rest);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn interleave_rounded(upper: &[Pair], lower: &[Pair], pairs: &mut [Pair]) {
    const HALF: usize = LANES / 2;
    let in_turn = words(IN_TURN);
    let (uppers, upper_rest) = upper.as_chunks::<HALF>();
    let (lowers, lower_rest) = lower.as_chunks::<HALF>();
    let (out, out_rest) = pairs.split_at_mut(LANES * uppers.len());
    let out = out.as_chunks_mut::<LANES>().0;
    for ((upper, lower), out) in uppers.iter().zip(lowers).zip(out) {
        let mut halves = [0; LANES];
        halves[..HALF].copy_from_slice(upper);
        halves[HALF..].copy_from_slice(lower);
        *out = to_pairs(_mm512_permutexvar_epi16(in_turn, vector(halves)));
    }
    portable::interleave_rounded(upper_rest, lower_rest, out_rest);
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn multiply<const V: usize>(
    mut rows: [&[Pair]; HEIGHT],
    columns: &[Pair],
    how: Accum,
    tile: &mut Tile,
) {
    let columns = columns.as_chunks::<LANES>().0.as_chunks::<V>().0;
    for row in &mut rows {
        *row = &row[..columns.len()];
    }
    let mut sums = [[_mm512_setzero_ps(); V]; HEIGHT];
    if matches!(how, Accum::Add) {
        for (sums, before) in sums.iter_mut().zip(&*tile) {
            for (sum, before) in sums.iter_mut().zip(before.as_chunks::<LANES>().0) {
                *sum = floats(before);
            }
        }
    }
    for (at, of_columns) in columns.iter().enumerate() {
        for (row, sums) in rows.iter().zip(&mut sums) {
            let of_row = same_pair(_mm512_set1_epi32(row[at].cast_signed()));
            for (sum, pairs) in sums.iter_mut().zip(of_columns) {
                *sum = _mm512_dpbf16_ps(*sum, of_row, rounded(pairs));
            }
        }
    }
    for (sums, out) in sums.iter().zip(tile) {
        for (sum, out) in sums.iter().zip(out.as_chunks_mut::<LANES>().0) {
            *out = values(*sum);
        }
    }
}
