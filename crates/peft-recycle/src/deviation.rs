//! How far an adapter is from what a basis makes of it: of each factor, and of the product `B A`.

use std::ops::AddAssign;

use faer::MatRef;
use serde::{Deserialize, Serialize};

use peft_format::linalg::{dot, inner, squared};

/// `||x - x'||_F^2` and `||x||_F^2`, which add up over sites and adapters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// Sum of squares of the difference.
    pub squared_error: f64,
    /// Sum of squares of what should be there.
    pub squared_norm: f64,
}

impl Deviation {
    pub(crate) fn new(squared_error: f64, squared_norm: f64) -> Self {
        Self {
            // Sums of products round to tiny negative numbers where the exact value is zero.
            squared_error: squared_error.max(0.0),
            squared_norm: squared_norm.max(0.0),
        }
    }

    /// `||x - x'||_F / ||x||_F`: 0 is exact, and 1 is what zeros would do. Of nothing, 0 where nothing comes back.
    #[must_use]
    pub fn relative(&self) -> f64 {
        if self.squared_error == 0.0 {
            0.0
        } else {
            (self.squared_error / self.squared_norm).sqrt()
        }
    }
}

impl AddAssign for Deviation {
    fn add_assign(&mut self, other: Self) {
        self.squared_error += other.squared_error;
        self.squared_norm += other.squared_norm;
    }
}

/// The deviations of an adapter at one site, or of several sites and adapters together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Of the update `B A`, which is what the model sees.
    pub product: Deviation,
    /// Of the factor A.
    pub a: Deviation,
    /// Of the factor B.
    pub b: Deviation,
}

impl AddAssign for Errors {
    fn add_assign(&mut self, other: Self) {
        self.product += other.product;
        self.a += other.a;
        self.b += other.b;
    }
}

impl Errors {
    /// Between factors `a [d_in, r]`, `b [d_out, r]` and what came back of them, without forming a product: with `e_a = a - a'` and
    /// `e_b = b - b'`, the difference is `D = b e_a^T + e_b a'^T` and
    /// `||D||_F^2 = <b^T b, e_a^T e_a> + <e_b^T e_b, a'^T a'> + 2 <b^T e_b, e_a^T a'>`.
    ///
    /// # Numerics
    /// Every term is of the order of the error itself, so that small errors are not lost in a difference of large numbers.
    pub(crate) fn between(
        (a, b): (MatRef<'_, f64>, MatRef<'_, f64>),
        (back_a, back_b): (MatRef<'_, f64>, MatRef<'_, f64>),
    ) -> Self {
        let (e_a, e_b) = (a - back_a, b - back_b);
        let core = |left: MatRef<'_, f64>, right: MatRef<'_, f64>| left.transpose() * right;
        let error = dot(
            core(b, b).as_ref(),
            core(e_a.as_ref(), e_a.as_ref()).as_ref(),
        ) + dot(
            core(e_b.as_ref(), e_b.as_ref()).as_ref(),
            core(back_a, back_a).as_ref(),
        ) + 2.0
            * dot(
                core(b, e_b.as_ref()).as_ref(),
                core(e_a.as_ref(), back_a).as_ref(),
            );
        Self {
            product: Deviation::new(error, inner((a, b), (a, b))),
            a: Deviation::new(squared(e_a.as_ref()), squared(a)),
            b: Deviation::new(squared(e_b.as_ref()), squared(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use faer::Mat;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_error_of_the_product_is_that_of_the_dense_matrices_large_and_tiny() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut random = |rows| Mat::from_fn(rows, 3, |_, _| rng.random::<f64>() - 0.5);
        let (a, b, step_a, step_b) = (random(8), random(6), random(8), random(6));
        for size in [1.0, 1e-3, 1e-9] {
            let back_a = &a + &step_a * faer::Scale(size);
            let back_b = &b + &step_b * faer::Scale(size);
            let found =
                Errors::between((a.as_ref(), b.as_ref()), (back_a.as_ref(), back_b.as_ref()));
            let (dense, back) = (&b * a.transpose(), &back_b * back_a.transpose());
            let expected = (&dense - back).norm_l2() / dense.norm_l2();
            let ratio = found.product.relative() / expected;
            assert!((ratio - 1.0).abs() < 1e-5, "{size}: {ratio}");
            let factor = (&a - &back_a).norm_l2() / a.norm_l2();
            assert!((found.a.relative() / factor - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn nothing_is_exact_and_something_from_nothing_is_infinitely_wrong() {
        assert_eq!(Deviation::default().relative(), 0.0);
        assert_eq!(Deviation::new(1.0, 0.0).relative(), f64::INFINITY);
        assert_eq!(Deviation::new(-1e-30, 2.0).relative(), 0.0);
    }
}
