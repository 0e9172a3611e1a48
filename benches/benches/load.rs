//! Reading a model folder, and reading an adapter folder into a model.

use burn::tensor::Device;
use criterion::{BatchSize, Criterion};
use peft_benches::{ADAPTER, Adapted, base};
use peft_core::folder;
use peft_core::lora::LORA;
use peft_models::hf::{export, write_model};
use peft_models::load_classifier;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let device = Device::default();
    let loaded = base(&device);
    let mut group = criterion.benchmark_group("load");

    let dir = tempfile::tempdir().expect("a temporary directory");
    let tensors = export(&loaded.model, &loaded.names);
    write_model(dir.path(), &loaded.config, &tensors).expect("the folder is writable");
    group.bench_function("model", |bencher| {
        bencher
            .iter(|| load_classifier(dir.path(), None, 1, &device).expect("it was just written"));
    });

    for adapted in Adapted::WITH_ADAPTER {
        let spec = adapted.spec().expect("it has an adapter");
        let model = adapted.attach_to(loaded.clone());
        let dir = tempfile::tempdir().expect("a temporary directory");
        folder::save(&model, &loaded.names, ADAPTER, &spec, dir.path()).expect("saves");
        group.bench_function(adapted.label(), |bencher| {
            bencher.iter_batched(
                || loaded.model.clone(),
                |model| {
                    folder::load(model, &loaded.names, ADAPTER, &[&LORA], dir.path())
                        .expect("it was just written")
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}
