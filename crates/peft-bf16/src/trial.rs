//! Whether rounded products take less time than those in f32.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

use crate::instructions::is_native;
use crate::product::multiply;
use crate::{DEPTH, HEIGHT, Left, Right, WIDTH};

/// Whether products in bfloat16 take less time here than those in f32, as a trial of some microseconds finds at the first call. AMD's
/// processors make twice as many in a second; Intel's half as many, with AMX for more, which is not used here. So what else the machine does
/// decides nothing.
#[must_use]
pub fn is_faster() -> bool {
    *FASTER
}

static FASTER: LazyLock<bool> = LazyLock::new(|| is_native() && time() < time_in_f32());

/// Rows of the product.
const ROWS: usize = 8 * HEIGHT;
/// The least time of so many counts.
const TURNS: usize = 8;

fn least(mut work: impl FnMut()) -> Duration {
    let turns = (0..TURNS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    turns.min().unwrap_or_default()
}

/// Of rounded factors.
fn time() -> Duration {
    let [a, b] = factors();
    let (left, mut right) = (Left::new(a.as_ref()), Right::default());
    right.set(b.as_ref());
    let mut y = Mat::<f32>::zeros(WIDTH, ROWS);
    least(|| {
        let products = [(&left.piece(0..ROWS, 0..DEPTH), &right)];
        multiply(y.as_mut().transpose_mut(), Accum::Replace, &products, 1.0);
        black_box(&mut y);
    })
}

/// Of the same as they are.
fn time_in_f32() -> Duration {
    let [a, b] = factors();
    let mut y = Mat::<f32>::zeros(WIDTH, ROWS);
    least(|| {
        let y = black_box(&mut y).as_mut().transpose_mut();
        matmul(y, Accum::Replace, a.as_ref(), b.as_ref(), 1.0, Par::Seq);
    })
}

fn factors() -> [Mat<f32>; 2] {
    let ones = |rows, columns| Mat::from_fn(rows, columns, |_, _| 1.0_f32);
    [ones(ROWS, DEPTH), ones(DEPTH, WIDTH)]
}
