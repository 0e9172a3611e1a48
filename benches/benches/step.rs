//! One training step (forward, backward, AdamW): all parameters of the base, or LoRA alone.

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use peft_benches::{Adapted, ROWS, TOKENS, base, batch};
use peft_core::{Pass, mark_trainable};
use peft_models::SequenceClassifier;

/// The model as it trains: without an adapter, every parameter does.
fn trainable(adapted: Adapted, device: &Device) -> SequenceClassifier {
    let base = base(device);
    if adapted != Adapted::Nothing {
        return adapted.attach_to(base);
    }
    let ids = base.names.iter().map(|(id, _, _)| id).collect();
    mark_trainable(base.model, &ids)
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let device = Device::default().autodiff();
    let batch = batch(&device);
    let mut group = criterion.benchmark_group("step");
    group.throughput(Throughput::Elements((ROWS * TOKENS) as u64));
    for adapted in Adapted::ALL {
        let mut model = Some(trainable(adapted, &device));
        let mut optimizer = AdamWConfig::new().init();
        group.bench_function(adapted.label(), |bencher| {
            bencher.iter(|| {
                let current = model.take().expect("every step puts a model back");
                let logits = current.logits(&batch, &mut Pass::train(0));
                let loss = logits.powi_scalar(2).mean();
                let grads = GradientsParams::from_grads(loss.backward(), &current);
                model = Some(optimizer.step(1e-4, current, grads));
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
