//! One training step (forward, backward, AdamW) of every method beside LoRA, on the same model and batch.

use burn::optim::AdamWConfig;
use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use peft_benches::methods::{LONG, METHODS, attached, step};
use peft_benches::{base, batch_of};

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let device = Device::default().autodiff();
    let batch = batch_of(LONG.0, LONG.1, &device);
    for (adapted, entries) in METHODS {
        let group = adapted.label().trim_start_matches("lora-");
        let mut group = criterion.benchmark_group(format!("methods/{group}"));
        group.throughput(Throughput::Elements((LONG.0 * LONG.1) as u64));
        for entry in entries {
            let mut model = Some(attached(base(&device), adapted, entry));
            let mut optimizer = AdamWConfig::new().init();
            group.bench_function(entry.id, |bencher| {
                bencher.iter(|| {
                    let current = model.take().expect("every step puts a model back");
                    model = Some(step(current, &mut optimizer, &batch));
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
