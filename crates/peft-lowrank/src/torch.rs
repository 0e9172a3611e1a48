//! PyTorch's random numbers on the CPU: what PEFT draws from a `torch.Generator` (MT19937), value by value the same.

use rand_mt::Mt;

/// A generator that was seeded as `torch.Generator().manual_seed(seed)`.
pub(crate) struct Torch(Mt);

impl Torch {
    pub(crate) fn new(seed: u64) -> Self {
        // PyTorch seeds with the lower half as well.
        Self(Mt::new((seed & u64::from(u32::MAX)) as u32))
    }

    /// `U(0, 1)` in f32, as `torch.rand`: 24 bits of one output.
    pub(crate) fn unit(&mut self) -> f32 {
        const BITS: u32 = (1 << 24) - 1;
        (self.0.next_u32() & BITS) as f32 / (BITS + 1) as f32
    }

    /// `U(-bound, bound)` in f32, with Kaiming's `bound = gain * sqrt(3 / fan_in)`.
    pub(crate) fn kaiming(&mut self, gain: f64, fan_in: usize) -> f32 {
        let std = gain / (fan_in as f64).sqrt();
        let bound = 3.0f64.sqrt() * std;
        let (from, to) = (-bound as f32, bound as f32);
        self.unit() * (to - from) + from
    }
}
