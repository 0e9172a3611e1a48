//! The sizes of an attention, and what follows from them.

/// Multiplications below which the calling thread does everything.
const SMALL: usize = 1 << 18;

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) d: usize,
}

impl Shape {
    /// Heads of queries that a head of keys serves.
    pub(super) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Whether the calling thread does everything.
    pub(super) fn is_small(&self) -> bool {
        self.batch * self.heads * self.queries * self.keys * self.d < SMALL
    }
}
