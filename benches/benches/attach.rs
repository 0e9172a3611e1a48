//! Attaching LoRA to a loaded model.

use burn::tensor::Device;
use criterion::{BatchSize, Criterion};
use peft_benches::{ADAPTER, Adapted, base};
use peft_core::attach;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let loaded = base(&Device::default());
    let mut group = criterion.benchmark_group("attach");
    for adapted in Adapted::WITH_ADAPTER {
        let spec = adapted.spec().expect("it has an adapter");
        group.bench_function(adapted.label(), |bencher| {
            bencher.iter_batched(
                || loaded.model.clone(),
                |model| attach(model, &loaded.names, ADAPTER, &spec, 1).expect("the targets exist"),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}
