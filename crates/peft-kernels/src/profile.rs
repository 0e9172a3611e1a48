//! What time goes into: while a profile is kept, every fused operation notes how long it took, how much it computed and moved.
//!
//! One profile per process. Operations that are not fused are not seen. On devices that work by themselves an operation only begins its
//! work: the seconds of a call are those until it has been given to the device.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
#[cfg(any(feature = "flex", feature = "cube"))]
use std::time::Instant;

/// All calls of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Entry {
    /// How many.
    pub calls: usize,
    /// Seconds, by the clock of the thread that called.
    pub seconds: f64,
    /// Multiplications and additions of matrix products.
    pub flops: f64,
    /// Bytes of inputs that are read and outputs that are written, each once.
    pub bytes: f64,
}

static ON: AtomicBool = AtomicBool::new(false);
static ENTRIES: Mutex<BTreeMap<&'static str, Entry>> = Mutex::new(BTreeMap::new());

/// Begins an empty profile.
pub fn start() {
    entries().clear();
    ON.store(true, Ordering::Relaxed);
}

/// Ends the profile and gives it, by operation.
#[must_use]
pub fn take() -> BTreeMap<&'static str, Entry> {
    ON.store(false, Ordering::Relaxed);
    std::mem::take(&mut entries())
}

/// What a panic elsewhere left is still a profile.
fn entries() -> std::sync::MutexGuard<'static, BTreeMap<&'static str, Entry>> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call that is going on; what it took is noted when this is dropped.
#[cfg(any(feature = "flex", feature = "cube"))]
pub(crate) struct Call {
    operation: &'static str,
    since: Instant,
    flops: f64,
    bytes: f64,
}

/// Notes a call from here to the end of the scope, where a profile is kept.
///
/// `products` are the sizes of the matrix products, `[rows, inner, columns]`; `values` the number of values that are read and written.
#[cfg(any(feature = "flex", feature = "cube"))]
pub(crate) fn call(
    operation: &'static str,
    products: &[[usize; 3]],
    values: usize,
) -> Option<Call> {
    let flops = |[rows, inner, columns]: &[usize; 3]| 2.0 * (rows * inner) as f64 * *columns as f64;
    ON.load(Ordering::Relaxed).then(|| Call {
        operation,
        since: Instant::now(),
        flops: products.iter().map(flops).sum(),
        bytes: (values * size_of::<f32>()) as f64,
    })
}

#[cfg(any(feature = "flex", feature = "cube"))]
impl Drop for Call {
    fn drop(&mut self) {
        let mut entries = entries();
        let entry = entries.entry(self.operation).or_default();
        entry.calls += 1;
        entry.seconds += self.since.elapsed().as_secs_f64();
        entry.flops += self.flops;
        entry.bytes += self.bytes;
    }
}

/// The profile of what runs meanwhile, for tests. There is one a process, so that those who want one wait for one another.
#[cfg(all(test, any(feature = "flex", feature = "cube")))]
pub(crate) fn of(f: impl FnOnce()) -> BTreeMap<&'static str, Entry> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    start();
    f();
    let profile = take();
    drop(guard);
    profile
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::of;

    #[test]
    fn a_profile_has_the_calls_between_its_ends() {
        let x = Tensor::<2>::ones([3, 4], &Device::flex());
        let _ = crate::product(x.clone(), Tensor::ones([4, 5], &x.device()));
        let found = of(|| {
            let _ = crate::product(x.clone(), Tensor::ones([4, 5], &x.device()));
        });
        let entry = found["linear"];
        assert!(entry.calls >= 1 && entry.seconds > 0.0, "{entry:?}");
        assert!(entry.flops >= 2.0 * 60.0 && entry.bytes >= 4.0 * (12.0 + 20.0 + 15.0));
    }
}
