//! Room for what is made next.

use rayon::iter::{IndexedParallelIterator, ParallelIterator, repeat_n};

use crate::LANES;

/// Values that are worth several threads: half a megabyte of f32.
const MANY: usize = 1 << 17;

/// Vectors that a task writes at least.
const VECTORS_PER_TASK: usize = 1 << 12;

/// So many zeros, by all threads of the pool where there are many: what a thread wrote alone, the others would wait for.
#[must_use]
pub fn zeros<T: Copy + Default + Send + Sync>(count: usize) -> Vec<T> {
    if count < MANY {
        return vec![T::default(); count];
    }
    let vectors = repeat_n([T::default(); LANES], count.div_ceil(LANES));
    let vectors: Vec<[T; LANES]> = vectors.with_min_len(VECTORS_PER_TASK).collect();
    let mut values = vectors.into_flattened();
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_asked_for() {
        for count in [0, 1, MANY - 1, MANY, MANY + 1, 2 * MANY + 7] {
            let values = zeros::<f32>(count);
            assert_eq!(values.len(), count);
            assert!(values.iter().all(|value| value.to_bits() == 0));
        }
    }
}
