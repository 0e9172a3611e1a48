//! Runs side by side: two runs of one thread each do more than one run of two, where batches are small.

use std::num::NonZeroUsize;
use std::sync::Mutex;

/// Threads for each of `jobs` runs.
pub(super) fn threads(jobs: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (cores / jobs).max(1)
}

/// Does `work` on every item, `jobs` at a time, and gives the results in the order of the items.
///
/// # Errors
/// The first one by that order; after an error no further item is begun.
pub(super) fn side_by_side<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let left = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let next = || {
        let failed = done.lock().is_ok_and(|done| {
            done.iter()
                .any(|(_, result): &(_, anyhow::Result<R>)| result.is_err())
        });
        let mut left = left.lock().ok()?;
        left.next().filter(|_| !failed)
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some((at, item)) = next() {
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.push((at, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..20).collect();
        let squares = side_by_side(3, &items, |item| {
            std::thread::sleep(std::time::Duration::from_millis(20 - item));
            Ok(item * item)
        });
        let expected: Vec<u64> = items.iter().map(|item| item * item).collect();
        assert_eq!(squares.unwrap(), expected);
    }

    #[test]
    fn an_error_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let items = [0; 100];
        let result = side_by_side(2, &items, |_| -> anyhow::Result<()> {
            begun.fetch_add(1, Ordering::SeqCst);
            anyhow::bail!("no")
        });
        assert_eq!(result.unwrap_err().to_string(), "no");
        assert!(begun.load(Ordering::SeqCst) <= 2);
    }
}
