//! Logits of a batch without gradients: the base, and what LoRA adds to it.

use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use peft_benches::{Adapted, ROWS, TOKENS, base, batch};
use peft_core::Pass;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let device = Device::default();
    let batch = batch(&device);
    let mut group = criterion.benchmark_group("forward");
    group.throughput(Throughput::Elements((ROWS * TOKENS) as u64));
    for adapted in Adapted::ALL {
        let model = adapted.attach_to(base(&device));
        group.bench_function(adapted.label(), |bencher| {
            bencher.iter(|| model.logits(&batch, &mut Pass::eval()).into_data());
        });
    }
    group.finish();
    criterion.final_summary();
}
