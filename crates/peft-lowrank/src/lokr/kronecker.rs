//! Kronecker products: the sizes of their factors, products with them, and their values.

use burn::tensor::Tensor;
use peft_kernels::product;

/// Sizes of `W1 [c, a]` and `W2 [d, b]`, and which of the two is a low-rank product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    w1: [usize; 2],
    w2: [usize; 2],
    pub(super) is_product: [bool; 2],
}

impl Sides {
    /// PEFT's choice for a weight `[d_in, d_out]`.
    pub(super) fn of(
        d_in: usize,
        d_out: usize,
        factor: Option<usize>,
        rank: usize,
        both: bool,
    ) -> Self {
        let [(c, d), (a, b)] = [d_in, d_out].map(|width| split(width, factor));
        let is_below_half = |larger: usize| rank.saturating_mul(2) < larger;
        Self {
            w1: [c, a],
            w2: [d, b],
            is_product: [both && is_below_half(a.max(c)), is_below_half(b.max(d))],
        }
    }

    /// Shapes of the factors of `W1` and then of `W2`, in the order of their product.
    pub(super) fn shapes(&self, rank: usize) -> Vec<[usize; 2]> {
        let sides = [self.w1, self.w2].into_iter().zip(self.is_product);
        let shapes = sides.map(|([rows, columns], is_product)| match is_product {
            true => vec![[rows, rank], [rank, columns]],
            false => vec![[rows, columns]],
        });
        shapes.flatten().collect()
    }
}

/// A width as a product of two numbers: with a factor that divides it that one first, else the pair nearest to each other of which the first
/// is the smaller one and not above the factor.
fn split(width: usize, factor: Option<usize>) -> (usize, usize) {
    if let Some(factor) = factor.filter(|factor| width.is_multiple_of(*factor)) {
        return (factor, width / factor);
    }
    let root = width.isqrt().min(factor.unwrap_or(width));
    let smaller = (1..=root).rev().find(|first| width.is_multiple_of(*first));
    let smaller = smaller.unwrap_or(1);
    (smaller, width / smaller)
}

/// `x (W1 (x) W2)` for `x [rows, c d]`, with the factors of `W1 [c, a]` and `W2 [d, b]`; shape `[rows, a b]`.
pub(super) fn times(x: Tensor<2>, w1: Vec<Tensor<2>>, w2: Vec<Tensor<2>>) -> Tensor<2> {
    let rows = x.dims()[0];
    let [c, d] = [&w1, &w2].map(|factors| factors.first().map_or(0, |factor| factor.dims()[0]));
    let through = |x: Tensor<2>, factors: Vec<Tensor<2>>| factors.into_iter().fold(x, product);
    // Every part of d inputs goes through W2, and the c results of each output of it through W1.
    let parts = through(x.reshape([rows * c, d]), w2);
    let b = parts.dims()[1];
    let parts = parts.reshape([rows, c, b]).swap_dims(1, 2);
    let whole = through(parts.reshape([rows * b, c]), w1);
    let a = whole.dims()[1];
    let whole = whole.reshape([rows, b, a]).swap_dims(1, 2);
    whole.reshape([rows, a * b])
}

/// `P (x) Q`: shapes `[m, n]` and `[p, q]` give `[m p, n q]`.
pub(super) fn product_of(p: Tensor<2>, q: Tensor<2>) -> Tensor<2> {
    let ([m, n], [rows, columns]) = (p.dims(), q.dims());
    let p: Tensor<4> = p.reshape([m, 1, n, 1]);
    let q: Tensor<4> = q.reshape([1, rows, 1, columns]);
    (p * q).reshape([m * rows, n * columns])
}

/// The two factors of a matrix; of one that is whole the identity and itself, in the order that leaves the smaller inner size.
pub(super) fn identity_beside(mut factors: Vec<Tensor<2>>) -> Option<[Tensor<2>; 2]> {
    if let [whole] = factors.as_slice() {
        let [rows, columns] = whole.dims();
        let eye = Tensor::eye(rows.min(columns), &whole.device());
        let at = usize::from(rows > columns);
        factors.insert(at, eye);
    }
    factors.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_split_as_in_peft() {
        for (width, factor, expected) in [
            (256, None, (16, 16)),
            (128, None, (8, 16)),
            (127, None, (1, 127)),
            (128, Some(4), (4, 32)),
            (16, Some(8), (8, 2)),
            (10, Some(4), (2, 5)),
            (9, Some(2), (1, 9)),
            (36, Some(5), (4, 9)),
            (1, None, (1, 1)),
        ] {
            assert_eq!(split(width, factor), expected, "{width}, {factor:?}");
        }
    }

    #[test]
    fn a_factor_is_a_product_where_the_rank_is_below_half_its_larger_side() {
        let products = |rank, both| Sides::of(64, 96, None, rank, both).is_product;
        // W1 is [8, 8] and W2 [8, 12].
        assert_eq!(products(5, false), [false, true]);
        assert_eq!(products(6, false), [false, false]);
        assert_eq!(products(3, true), [true, true]);
        assert_eq!(products(4, true), [false, true]);
    }
}
