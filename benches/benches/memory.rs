//! Peak memory of a training step of every method beside LoRA: what the allocator holds, to the byte, model included.
//!
//! Not a Criterion benchmark, because nothing is timed: the numbers are the same in every run.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use burn::optim::AdamWConfig;
use burn::tensor::Device;
use peak_alloc::PeakAlloc;
use peft_benches::methods::{LONG, METHODS, attached, step};
use peft_benches::{base, batch_of};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() {
    let device = Device::default().autodiff();
    let batch = batch_of(LONG.0, LONG.1, &device);
    println!(
        "{:<14}{:<8}{:>10}{:>14}",
        "adapted", "method", "MiB", "against LoRA"
    );
    for (adapted, entries) in METHODS {
        let mut of_lora = None;
        for entry in entries {
            let mut model = attached(base(&device), adapted, entry);
            let mut optimizer = AdamWConfig::new().init();
            // The first step makes the optimizer's state; the second is one like all that follow.
            model = step(model, &mut optimizer, &batch);
            HEAP.reset_peak_usage();
            drop(step(model, &mut optimizer, &batch));
            let peak = HEAP.peak_usage_as_mb();
            let ratio = peak / *of_lora.get_or_insert(peak);
            let label = adapted.label().trim_start_matches("lora-");
            println!("{label:<14}{:<8}{peak:>10.1}{ratio:>14.3}", entry.id);
        }
    }
}
