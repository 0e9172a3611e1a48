//! Measuring keeps one number per site, whatever the number of samples.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::tensor::Device;
use peak_alloc::PeakAlloc;
use peft_core::Pass;
use peft_prune::OutputImportance;
use support::{adapted, inputs, lora, spec};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The only test of its process, so that nothing else allocates.
#[test]
fn memory_does_not_grow_with_the_number_of_passes() {
    let device = Device::flex();
    let (stack, _, _) = adapted(&spec(lora()), &device, true);
    let peak_of = |passes: usize| {
        let mut observer = OutputImportance::default();
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        for _ in 0..passes {
            let _ = stack.forward(
                inputs(&device),
                &mut Pass::eval().with_observer(&mut observer),
            );
        }
        HEAP.peak_usage().saturating_sub(before)
    };
    peak_of(2); // what is allocated once
    let (few, many) = (peak_of(2), peak_of(200));
    assert!(
        many <= few + 1024,
        "{few} bytes for 2 passes, {many} for 200"
    );
}
