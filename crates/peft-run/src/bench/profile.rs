//! Where the time of a step goes: each fused operation beside what this machine needs for its work at best.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use peft_kernels::profile::Entry;
use serde::Serialize;

/// Side of the matrices whose product says how fast products are.
const SIDE: usize = 1024;
/// Values that each thread copies to say how fast memory is: 64 MiB.
const COPIED: usize = 1 << 24;
/// Repetitions; the fastest counts.
const TURNS: usize = 5;

/// What this machine does at best.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Peaks {
    /// Multiplications and additions per second, in a product of large matrices.
    pub flops: f64,
    /// Bytes per second that a copy reads and writes.
    pub bytes: f64,
}

/// One operation in a step.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub operation: &'static str,
    /// Calls in a step.
    pub calls: f64,
    /// Seconds in a step.
    pub seconds: f64,
    /// Of the step.
    pub share: f64,
    /// Multiplications and additions in a step.
    pub flops: f64,
    /// Bytes that it reads and writes in a step.
    pub bytes: f64,
    /// Seconds that its products, or its bytes, take at best, over its own.
    pub of_floor: f64,
}

/// The operations of a step, the slowest first.
#[derive(Debug, Serialize)]
pub struct Profile {
    /// What the machine does at best.
    pub peaks: Peaks,
    /// The operations, the slowest first.
    pub operations: Vec<Line>,
    /// Seconds of a step in no fused operation.
    pub rest: f64,
}

impl Peaks {
    /// Measures them; takes less than a second.
    pub fn measure(device: &Device) -> Self {
        let side = SIDE as f64;
        let matrix = || Tensor::<2>::random([SIDE, SIDE], Distribution::Default, device);
        let (a, b) = (matrix(), matrix());
        let product = fastest(|| {
            let _ = peft_core::read(peft_kernels::product(a.clone(), b.clone()));
        });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut buffers: Vec<[Vec<f32>; 2]> = (0..threads)
            .map(|_| [vec![1.0; COPIED], vec![0.0; COPIED]])
            .collect();
        let copy = fastest(|| {
            std::thread::scope(|scope| {
                for [from, to] in &mut buffers {
                    scope.spawn(|| to.copy_from_slice(from));
                }
            });
        });
        Self {
            flops: 2.0 * side.powi(3) / product,
            bytes: (2 * threads * COPIED * size_of::<f32>()) as f64 / copy,
        }
    }
}

fn fastest(mut work: impl FnMut()) -> f64 {
    let turns = (0..TURNS).map(|_| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64()
    });
    turns.fold(f64::INFINITY, f64::min)
}

impl Profile {
    /// Of so many steps, whose mean took `step` seconds.
    pub fn new(
        entries: BTreeMap<&'static str, Entry>,
        steps: usize,
        step: f64,
        peaks: Peaks,
    ) -> Self {
        let steps = steps as f64;
        let mut operations: Vec<Line> = entries
            .into_iter()
            .map(|(operation, entry)| {
                let seconds = entry.seconds / steps;
                let (flops, bytes) = (entry.flops / steps, entry.bytes / steps);
                let floor = (flops / peaks.flops).max(bytes / peaks.bytes);
                Line {
                    operation,
                    calls: entry.calls as f64 / steps,
                    seconds,
                    share: seconds / step,
                    flops,
                    bytes,
                    of_floor: floor / seconds,
                }
            })
            .collect();
        operations.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        let known: f64 = operations.iter().map(|line| line.seconds).sum();
        Self {
            peaks,
            operations,
            rest: (step - known).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_products_and_memory_is_the_floor() {
        let entry = |seconds: f64, flops: f64, bytes: f64| Entry {
            calls: 4,
            seconds,
            flops,
            bytes,
        };
        let entries =
            BTreeMap::from([("a", entry(2.0, 100.0, 10.0)), ("b", entry(4.0, 0.0, 20.0))]);
        let peaks = Peaks {
            flops: 100.0,
            bytes: 10.0,
        };
        let profile = Profile::new(entries, 2, 5.0, peaks);
        let found: Vec<(&str, f64)> = profile
            .operations
            .iter()
            .map(|line| (line.operation, line.of_floor))
            .collect();
        assert_eq!(found, [("b", 0.5), ("a", 0.5)]);
        assert!((profile.rest - 2.0).abs() < 1e-12);
    }
}
