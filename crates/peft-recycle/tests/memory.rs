//! Summing columns takes the memory of `d` columns, whatever their number.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use peak_alloc::PeakAlloc;
use peft_recycle::{Stack, Subspace, SubspaceOptions};
use support::random;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The only test of its process, so that nothing else allocates.
#[test]
fn memory_does_not_grow_with_the_number_of_columns() {
    let columns = random(64, 8, 1);
    let peak_of = |count: usize| {
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let mut stack = Stack::new(64, 8 * count);
        for _ in 0..count {
            stack.push(columns.as_ref()).unwrap();
        }
        let subspace = Subspace::of(&stack, &SubspaceOptions::fixed(4)).unwrap();
        assert_eq!(subspace.principal(), 4);
        HEAP.peak_usage().saturating_sub(before)
    };
    peak_of(20); // what is allocated once
    let (few, many) = (peak_of(20), peak_of(2000));
    assert!(
        many <= few + 1024,
        "{few} bytes for 20 factors, {many} for 2000"
    );
}
