//! Writing a model folder, and writing an adapter folder.

use burn::tensor::Device;
use criterion::Criterion;
use peft_benches::{ADAPTER, Adapted, base};
use peft_core::folder;
use peft_models::hf::{export, write_model};

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let loaded = base(&Device::default());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut group = criterion.benchmark_group("save");
    group.bench_function("model", |bencher| {
        bencher.iter(|| {
            let tensors = export(&loaded.model, &loaded.names);
            write_model(dir.path(), &loaded.config, &tensors).expect("the folder is writable");
        });
    });
    for adapted in Adapted::WITH_ADAPTER {
        let spec = adapted.spec().expect("it has an adapter");
        let model = adapted.attach_to(loaded.clone());
        group.bench_function(adapted.label(), |bencher| {
            bencher.iter(|| {
                folder::save(&model, &loaded.names, ADAPTER, &spec, dir.path()).expect("saves");
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
