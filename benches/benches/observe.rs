//! A pass that measures what every adapter adds (LoRA-drop's importance) against a plain evaluation pass of the same batch.

use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use peft_benches::{Adapted, ROWS, TOKENS, base, batch};
use peft_core::Pass;
use peft_prune::OutputImportance;

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let device = Device::default();
    let batch = batch(&device);
    for adapted in Adapted::WITH_ADAPTER {
        let mut group = criterion.benchmark_group(format!("observe/{}", adapted.label()));
        group.throughput(Throughput::Elements((ROWS * TOKENS) as u64));
        let model = adapted.attach_to(base(&device));
        group.bench_function("plain", |bencher| {
            bencher.iter(|| model.logits(&batch, &mut Pass::eval()).into_data());
        });
        group.bench_function("measured", |bencher| {
            bencher.iter(|| {
                let mut observer = OutputImportance::default();
                let mut pass = Pass::eval().with_observer(&mut observer);
                let logits = model.logits(&batch, &mut pass).into_data();
                (logits, observer.sums().len())
            });
        });
        group.finish();
    }
    criterion.final_summary();
}
