//! Products against f64 sums of the rounded factors, however these lie in memory, with all instructions that this processor has.

use faer::{Accum, Mat, MatRef};
use half::bf16;
use proptest::prelude::*;

use crate::instructions::Instructions;
use crate::{DEPTH, HEIGHT, Left, Right, multiply, product};

/// Error of a sum of f32 relative to the sizes of its terms.
const SUMS: f64 = 2e-6;

/// Reproducible values in `[-1, 1]`, of which no two neighbours are alike.
fn noise(seed: u64, rows: usize, columns: usize) -> Mat<f32> {
    Mat::from_fn(rows, columns, |row, column| {
        let mut bits = seed ^ ((row * columns + column) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((bits >> 40) as f32) / (1 << 23) as f32 - 1.0
    })
}

fn rounded(value: f32) -> f64 {
    f64::from(bf16::from_f32(value).to_f32())
}

/// A value of the product, and the sum of the sizes of its terms.
fn expected(a: MatRef<'_, f32>, b: MatRef<'_, f32>, row: usize, column: usize) -> (f64, f64) {
    let terms = (0..a.ncols()).map(|at| rounded(a[(row, at)]) * rounded(b[(at, column)]));
    terms.fold((0.0, 0.0), |(sum, size), term| {
        (sum + term, size + term.abs())
    })
}

/// `y = factor a b`, in pieces that are cut at `cut` rows and `edge` columns.
fn in_pieces(
    by: Instructions,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    factor: f32,
    [cut, edge]: [usize; 2],
) -> Mat<f32> {
    let (rows, columns) = (a.nrows(), b.ncols());
    let mut y = Mat::from_fn(columns, rows, |_, _| f32::NAN);
    let left = Left::rounded(a, by);
    let mut right = Right::default();
    right.by = by;
    for columns in [0..edge, edge..columns] {
        for block in left.blocks() {
            let at = block.start;
            right.set(b.submatrix(at, columns.start, block.len(), columns.len()));
            for rows in [0..cut, cut..rows] {
                let how = if at == 0 { Accum::Replace } else { Accum::Add };
                let y = y.as_mut().transpose_mut().submatrix_mut(
                    rows.start,
                    columns.start,
                    rows.len(),
                    columns.len(),
                );
                let piece = left.piece(rows, block.clone());
                multiply(y, how, &[(&piece, &right)], factor);
            }
        }
    }
    y.transpose().to_owned()
}

/// How values lie in memory.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Columns,
    Rows,
    /// From the last value to the first.
    Reversed,
}

fn layouts() -> impl Strategy<Value = Layout> {
    prop_oneof![
        Just(Layout::Columns),
        Just(Layout::Rows),
        Just(Layout::Reversed)
    ]
}

/// Lays the values of a matrix so.
fn laid(x: &Mat<f32>, layout: Layout) -> Mat<f32> {
    match layout {
        Layout::Columns => x.clone(),
        Layout::Rows => x.transpose().to_owned(),
        Layout::Reversed => x.as_ref().reverse_rows_and_cols().to_owned(),
    }
}

/// The matrix that was laid.
fn view(x: &Mat<f32>, layout: Layout) -> MatRef<'_, f32> {
    match layout {
        Layout::Columns => x.as_ref(),
        Layout::Rows => x.transpose(),
        Layout::Reversed => x.as_ref().reverse_rows_and_cols(),
    }
}

fn sizes() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![
        4 => (1_usize..40, 1_usize..70, 1_usize..120).prop_map(<[usize; 3]>::from),
        1 => Just([1, 1, 1]),
        1 => (1_usize..20, DEPTH - 2..2 * DEPTH + 3, 1_usize..60).prop_map(<[usize; 3]>::from),
        1 => (250_usize..300, 1_usize..40, 40_usize..60).prop_map(<[usize; 3]>::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_value_is_the_sum_of_rounded_products(
        [rows, inner, columns] in sizes(),
        seed in any::<u64>(),
        (of_a, of_b) in (layouts(), layouts()),
        (cut, edge) in (0_usize..40, 0.0..1.0),
    ) {
        let (a, b) = (noise(seed, rows, inner), noise(seed ^ 1, inner, columns));
        let (room_a, room_b) = (laid(&a, of_a), laid(&b, of_b));
        let (a, b) = (view(&room_a, of_a), view(&room_b, of_b));
        let at = [(cut * HEIGHT).min(rows), (columns as f64 * edge) as usize];
        for by in Instructions::all() {
            let y = in_pieces(by, a, b, 0.5, at);
            let whole = in_pieces(by, a, b, 0.5, [rows, columns]);
            for row in 0..rows {
                for column in 0..columns {
                    let (sum, size) = expected(a, b, row, column);
                    let error = (f64::from(y[(row, column)]) - 0.5 * sum).abs();
                    prop_assert!(error <= SUMS * size, "{by:?} [{row}, {column}]: {error}");
                    prop_assert_eq!(y[(row, column)].to_bits(), whole[(row, column)].to_bits());
                }
            }
        }
    }
}

#[test]
fn a_product_is_added_to_what_was_there() {
    let (a, b) = (noise(1, 9, 600), noise(2, 600, 700));
    let mut y = Mat::from_fn(700, 9, |_, _| 1.0_f32);
    product(
        y.as_mut().transpose_mut(),
        Accum::Add,
        a.as_ref(),
        b.as_ref(),
        2.0,
    );
    for (row, column) in [(0, 0), (8, 699), (3, 383), (4, 384)] {
        let (sum, size) = expected(a.as_ref(), b.as_ref(), row, column);
        let error = (f64::from(y[(column, row)]) - 1.0 - 2.0 * sum).abs();
        assert!(error <= 2.0 * SUMS * size, "[{row}, {column}]: {error}");
    }
}

#[test]
fn a_left_factor_gives_its_rounded_values_back() {
    for [rows, inner] in [[1, 1], [70, 2 * DEPTH + 3], [3, 0]] {
        let x = noise(3, rows, inner);
        for by in Instructions::all() {
            let found = Left::rounded(x.as_ref(), by).values();
            let expected: Vec<f32> = (0..rows * inner)
                .map(|at| rounded(x[(at / inner, at % inner)]) as f32)
                .collect();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn nothing_is_multiplied_to_zeros() {
    let (a, b) = (noise(1, 3, 0), noise(2, 0, 4));
    let mut y = Mat::from_fn(4, 3, |_, _| f32::NAN);
    product(
        y.as_mut().transpose_mut(),
        Accum::Replace,
        a.as_ref(),
        b.as_ref(),
        1.0,
    );
    assert_eq!(y, Mat::zeros(4, 3));
}

#[test]
fn what_is_no_number_is_not_lost_and_does_not_spread() {
    for by in Instructions::all() {
        for (bad, seen) in [(f32::NAN, f32::NAN), (f32::INFINITY, f32::INFINITY)] {
            let mut a = Mat::from_fn(17, 33, |_, _| 1.0_f32);
            a[(16, 32)] = bad;
            let b = Mat::from_fn(33, 50, |_, _| 1.0_f32);
            let y = in_pieces(by, a.as_ref(), b.as_ref(), 1.0, [8, 16]);
            assert!(
                y[(16, 49)].to_bits() == seen.to_bits() || seen.is_nan() && y[(16, 49)].is_nan()
            );
            assert_eq!(y[(15, 49)], 33.0);
        }
    }
}

#[test]
fn values_are_rounded_to_the_nearest_and_ties_to_even() {
    // One and steps of a bfloat16 (2^-7) in halves and quarters.
    let step = 2.0_f32.powi(-7);
    for by in Instructions::all() {
        for (value, near) in [
            (1.0 + 0.25 * step, 1.0),
            (1.0 + 0.5 * step, 1.0),
            (1.0 + 1.5 * step, 1.0 + 2.0 * step),
            (-1.0 - 0.75 * step, -1.0 - step),
            (f32::MAX, f32::INFINITY),
        ] {
            let values = vec![value; 37];
            let ones = |rows, columns| Mat::from_fn(rows, columns, |_, _| 1.0_f32);
            let a = MatRef::from_row_major_slice(&values, 37, 1);
            let y = in_pieces(by, a, ones(1, 2).as_ref(), 1.0, [0, 0]);
            assert_eq!(y[(36, 1)], near, "{by:?}");
            let a = MatRef::from_row_major_slice(&values, 1, 37);
            let y = in_pieces(by, a, ones(37, 2).as_ref(), 1.0, [0, 0]);
            assert_eq!(y[(0, 0)], 37.0 * near, "{by:?}");
        }
    }
}

#[test]
fn rows_of_another_length_have_the_same_values() {
    let x = Mat::from_fn(6, 8, |row, column| (8 * row + column) as f32);
    let left = Left::new(x.as_ref());
    for inner in [2, 4, 12, 48] {
        let other = left.in_rows_of(inner).unwrap();
        assert_eq!([other.rows(), other.inner()], [48 / inner, inner]);
        assert_eq!(other.values(), left.values());
    }
    // Pairs would be others, or the rows not whole.
    for inner in [0, 3, 5, 10] {
        assert!(left.in_rows_of(inner).is_none(), "{inner}");
    }
    let deep = Left::new(Mat::from_fn(2, 4 * DEPTH, |_, _| 1.0_f32).as_ref());
    assert!(deep.in_rows_of(4).is_none());
}

#[test]
fn products_are_summed_before_they_are_written() {
    let (rows, columns) = (21, 67);
    let (a, b) = (noise(1, rows, 40), noise(2, 40, columns));
    let (c, d) = (noise(3, rows, 5), noise(4, 5, columns));
    for by in Instructions::all() {
        let lefts = [Left::rounded(a.as_ref(), by), Left::rounded(c.as_ref(), by)];
        let pieces = [
            lefts[0].piece(0..rows, 0..40),
            lefts[1].piece(0..rows, 0..5),
        ];
        let rights = [b.as_ref(), d.as_ref()].map(|factor| {
            let mut right = Right::default();
            right.by = by;
            right.set(factor);
            right
        });
        let products = [(&pieces[0], &rights[0]), (&pieces[1], &rights[1])];
        let mut y = Mat::from_fn(columns, rows, |_, _| f32::NAN);
        multiply(y.as_mut().transpose_mut(), Accum::Replace, &products, 2.0);
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |at| (row, at))) {
            let (first, size) = expected(a.as_ref(), b.as_ref(), row, column);
            let (second, more) = expected(c.as_ref(), d.as_ref(), row, column);
            let error = (f64::from(y[(column, row)]) - 2.0 * (first + second)).abs();
            assert!(
                error <= 2.0 * SUMS * (size + more),
                "{by:?} [{row}, {column}]: {error}"
            );
        }
    }
}

#[test]
fn a_left_factor_is_a_right_factor_too() {
    // Its rows are summed over: an odd number of them, columns of one of its blocks, at the edge of a vector and within.
    for [rows, inner] in [[1, 3], [33, 100], [DEPTH, DEPTH + 61]] {
        let (a, x) = (noise(1, 9, rows), noise(2, rows, inner));
        for by in Instructions::all() {
            let (a_left, x_left) = (Left::rounded(a.as_ref(), by), Left::rounded(x.as_ref(), by));
            let mut right = Right::default();
            right.by = by;
            for block in x_left.blocks() {
                let of_x = x_left.piece(0..rows, block.clone());
                for columns in [0..block.len(), block.len() / 4 * 2..block.len()] {
                    right.set_rounded(&of_x, columns.clone());
                    let mut y = Mat::from_fn(columns.len(), 9, |_, _| f32::NAN);
                    let piece = a_left.piece(0..9, 0..rows);
                    let products = [(&piece, &right)];
                    multiply(y.as_mut().transpose_mut(), Accum::Replace, &products, 1.0);
                    for (row, at) in [(0, 0), (8, columns.len() - 1), (4, columns.len() / 2)] {
                        let column = block.start + columns.start + at;
                        let (sum, size) = expected(a.as_ref(), x.as_ref(), row, column);
                        let error = (f64::from(y[(at, row)]) - sum).abs();
                        assert!(error <= SUMS * size, "{by:?} [{row}, {column}]: {error}");
                    }
                }
            }
        }
    }
}
