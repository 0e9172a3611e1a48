//! The smooth bound on flex, for operations that have it inside.
//!
//! ```text
//! y = c tanh(x / c),   dx = g (1 - (y / c)^2)
//! ```

use pulp::Simd;

use crate::flex::Kernel;
use crate::math::sigmoid;

/// Bounds values in place.
pub(crate) struct Capped(pub(crate) f32);

impl Kernel for Capped {
    const NAME: &'static str = "soft cap";

    #[inline(always)]
    fn run<S: Simd>(&self, _: usize, chunk: &mut [f32]) {
        for value in chunk {
            // tanh(u) = sigmoid(2 u) - sigmoid(-2 u)
            let (above, below) = sigmoid::<S>(2.0 * *value / self.0);
            *value = self.0 * (above - below);
        }
    }
}

/// Turns the gradient of bounded values into that of the values.
pub(crate) struct CappedBackward<'a> {
    pub(crate) cap: f32,
    /// The bounded values.
    pub(crate) capped: &'a [f32],
}

impl Kernel for CappedBackward<'_> {
    const NAME: &'static str = "soft cap backward";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        for (grad, y) in chunk.iter_mut().zip(&self.capped[start..]) {
            let share = y / self.cap;
            *grad *= 1.0 - share * share;
        }
    }
}
