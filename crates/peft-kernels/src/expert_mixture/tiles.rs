//! Products of a factor of a few rows with one row, and of a few rows with each other, in registers.
//!
//! A factor goes in groups of 8, 4, 2 and 1 of its rows: each value of the other side is read once per group.

use std::array::from_fn;

use pulp::Simd;

/// Columns of one task of `Mixture::outer`: whole blocks of a mask, and whole registers.
pub(super) const COLUMNS: usize = 128;
/// Registers side by side in [`multiply`].
const SIDE: usize = 2;

/// `out_q = values . factor_q`, for every row of the factor.
#[inline(always)]
pub(super) fn dots<S: Simd>(simd: S, values: &[f32], factor: &[f32], out: &mut [f32]) {
    let mut done = 0;
    while done < out.len() {
        let (factor, out) = (&factor[done * values.len()..], &mut out[done..]);
        done += match out.len() {
            8.. => dots_of::<S, 8>(simd, values, factor, out),
            4.. => dots_of::<S, 4>(simd, values, factor, out),
            2.. => dots_of::<S, 2>(simd, values, factor, out),
            _ => dots_of::<S, 1>(simd, values, factor, out),
        };
    }
}

#[inline(always)]
fn dots_of<S: Simd, const R: usize>(
    simd: S,
    values: &[f32],
    factor: &[f32],
    out: &mut [f32],
) -> usize {
    let (values, rest) = S::as_simd_f32s(values);
    let (rows, rests) = split::<S, R>(factor, values.len(), rest.len());
    let mut sums = [simd.splat_f32s(0.0); R];
    for (i, value) in values.iter().enumerate() {
        for q in 0..R {
            sums[q] = simd.mul_add_e_f32s(*value, rows[q][i], sums[q]);
        }
    }
    let rest = simd.partial_load_f32s(rest);
    for q in 0..R {
        let last = simd.partial_load_f32s(rests[q]);
        out[q] = simd.reduce_sum_f32s(simd.mul_add_e_f32s(rest, last, sums[q]));
    }
    R
}

/// `out += scale sum_q values_q factor_q`.
#[inline(always)]
pub(super) fn accumulate<S: Simd>(
    simd: S,
    values: &[f32],
    scale: f32,
    factor: &[f32],
    out: &mut [f32],
) {
    let mut done = 0;
    while done < values.len() {
        let (values, factor) = (&values[done..], &factor[done * out.len()..]);
        done += match values.len() {
            8.. => accumulate_of::<S, 8>(simd, values, scale, factor, out),
            4.. => accumulate_of::<S, 4>(simd, values, scale, factor, out),
            2.. => accumulate_of::<S, 2>(simd, values, scale, factor, out),
            _ => accumulate_of::<S, 1>(simd, values, scale, factor, out),
        };
    }
}

#[inline(always)]
fn accumulate_of<S: Simd, const R: usize>(
    simd: S,
    values: &[f32],
    scale: f32,
    factor: &[f32],
    out: &mut [f32],
) -> usize {
    let mut factors = [simd.splat_f32s(0.0); R];
    for q in 0..R {
        factors[q] = simd.splat_f32s(values[q] * scale);
    }
    let (out, out_rest) = S::as_mut_simd_f32s(out);
    let (rows, rests) = split::<S, R>(factor, out.len(), out_rest.len());
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = *out;
        for q in 0..R {
            sum = simd.mul_add_e_f32s(factors[q], rows[q][i], sum);
        }
        *out = sum;
    }
    let mut sum = simd.partial_load_f32s(out_rest);
    for q in 0..R {
        sum = simd.mul_add_e_f32s(factors[q], simd.partial_load_f32s(rests[q]), sum);
    }
    simd.partial_store_f32s(out_rest, sum);
    R
}

/// The first `R` rows of a factor, each as so many registers and so many values after them.
#[inline(always)]
fn split<S: Simd, const R: usize>(
    factor: &[f32],
    registers: usize,
    rest: usize,
) -> ([&[S::f32s]; R], [&[f32]; R]) {
    let width = registers * S::F32_LANES + rest;
    let rows: [_; R] = from_fn(|q| S::as_simd_f32s(&factor[q * width..][..width]));
    (rows.map(|row| &row.0[..registers]), rows.map(|row| row.1))
}

/// `out_q += sum_p values_pq row_p`, for `out [rank, COLUMNS]` and `values [pairs, rank]`, where row `p` starts at `starts_p`.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    values: &[f32],
    source: &[f32],
    starts: &[usize],
    out: &mut [f32],
) {
    let rank = out.len() / COLUMNS;
    let mut done = 0;
    while done < rank {
        let out = &mut out[done * COLUMNS..];
        let rows = values.chunks_exact(rank).zip(starts);
        let rows = rows.map(|(values, start)| (&values[done..], &source[*start..][..COLUMNS]));
        done += match rank - done {
            4.. => multiply_of::<S, 4>(simd, rows, out),
            2.. => multiply_of::<S, 2>(simd, rows, out),
            _ => multiply_of::<S, 1>(simd, rows, out),
        };
    }
}

/// [`multiply`] for the first `R` of the values beside each row.
#[inline(always)]
fn multiply_of<'a, S: Simd, const R: usize>(
    simd: S,
    rows: impl Iterator<Item = (&'a [f32], &'a [f32])> + Clone,
    out: &mut [f32],
) -> usize {
    for column in (0..COLUMNS).step_by(SIDE * S::F32_LANES) {
        let part = column..column + SIDE * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); SIDE]; R];
        for q in 0..R {
            let out = S::as_simd_f32s(&out[q * COLUMNS..][part.clone()]).0;
            sums[q].copy_from_slice(&out[..SIDE]);
        }
        for (values, row) in rows.clone() {
            let row = &S::as_simd_f32s(&row[part.clone()]).0[..SIDE];
            let values = &values[..R];
            for q in 0..R {
                let value = simd.splat_f32s(values[q]);
                for side in 0..SIDE {
                    sums[q][side] = simd.mul_add_e_f32s(value, row[side], sums[q][side]);
                }
            }
        }
        for q in 0..R {
            let out = S::as_mut_simd_f32s(&mut out[q * COLUMNS..][part.clone()]).0;
            out[..SIDE].copy_from_slice(&sums[q]);
        }
    }
    R
}
