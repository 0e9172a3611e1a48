//! What the Riemannian preconditioner adds to a training step of LoRA on every linear layer; and what it takes by itself, which is less than
//! steps differ by.

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use criterion::{BatchSize, Criterion, Throughput};
use peft_benches::methods::LONG;
use peft_benches::{Adapted, base, batch_of};
use peft_core::{Factors, Procedure};
use peft_core::{Pass, Trainable};
use peft_moe::Riemannian;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let device = Device::default().autodiff();
    let batch = batch_of(LONG.0, LONG.1, &device);
    let mut group = criterion.benchmark_group("precondition");
    group.throughput(Throughput::Elements((LONG.0 * LONG.1) as u64));
    for conditioned in [false, true] {
        let base = base(&device);
        let names = base.names.clone();
        let model = Adapted::AllLinear.attach_to(base);
        let pairs = Trainable::of(&model, &names).pairs;
        let mut model = Some(model);
        let mut optimizer = AdamWConfig::new().init();
        let name = if conditioned { "riemannian" } else { "plain" };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let current = model.take().expect("every step puts a model back");
                let logits = current.logits(&batch, &mut Pass::train(0));
                let loss = logits.powi_scalar(2).mean();
                let mut grads = GradientsParams::from_grads(loss.backward(), &current);
                if conditioned {
                    let factors = Factors::of(&current, &pairs);
                    Riemannian::default()
                        .condition(&mut grads, &pairs, &factors)
                        .expect("the factors are finite");
                }
                model = Some(optimizer.step(1e-4, current, grads));
            });
        });
    }
    let base = base(&device);
    let names = base.names.clone();
    let model = Adapted::AllLinear.attach_to(base);
    let pairs = Trainable::of(&model, &names).pairs;
    let factors = Factors::of(&model, &pairs);
    let gradients = || {
        let mut grads = GradientsParams::new();
        for id in pairs.iter().flat_map(|pair| [pair.a, pair.b]) {
            grads.register(id, factors.get(id).expect("a factor"));
        }
        grads
    };
    group.bench_function("alone", |bencher| {
        bencher.iter_batched(
            gradients,
            |mut grads| {
                let factors = Factors::of(&model, &pairs);
                Riemannian::default()
                    .condition(&mut grads, &pairs, &factors)
                    .expect("the factors are finite");
                grads
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    criterion.final_summary();
}
