//! Folding LoRA into the weights, with the check of every merged layer's output.

use burn::tensor::Device;
use criterion::{BatchSize, Criterion};
use peft_benches::{Adapted, base};
use peft_core::merge::merge;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("merge");
    for adapted in Adapted::WITH_ADAPTER {
        let model = adapted.attach_to(base(&Device::default()));
        group.bench_function(adapted.label(), |bencher| {
            bencher.iter_batched(
                || model.clone(),
                |model| merge(model).expect("finite weights"),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}
