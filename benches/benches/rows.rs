//! One adapter for the whole batch, against a batch whose rows go through four adapters.
//!
//! The rows stand in blocks of the same adapter (`sorted`) or take turns (`mixed`); the work per row is the same.

use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use peft_benches::{ADAPTER, Adapted, ROWS, TOKENS, base, batch};
use peft_core::{Pass, RowAdapters, attach};

const NAMES: [&str; 4] = [ADAPTER, "second", "third", "fourth"];

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let device = Device::default();
    let batch = batch(&device);
    for adapted in Adapted::WITH_ADAPTER {
        let mut group = criterion.benchmark_group(format!("rows/{}", adapted.label()));
        group.throughput(Throughput::Elements((ROWS * TOKENS) as u64));
        let base = base(&device);
        let names = base.names.clone();
        let spec = adapted.spec().expect("an adapter");
        let one = adapted.attach_to(base);
        let mut four = one.clone();
        for (seed, name) in (2..).zip(&NAMES[1..]) {
            four = attach(four, &names, name, &spec, seed)
                .expect("the targets exist")
                .0;
        }
        group.bench_function("one-adapter", |bencher| {
            bencher.iter(|| one.logits(&batch, &mut Pass::eval()).into_data());
        });
        let adapter = |row: usize, sorted: bool| {
            let at = if sorted {
                row * NAMES.len() / ROWS
            } else {
                row % NAMES.len()
            };
            Some(NAMES[at])
        };
        for (label, sorted) in [("four-sorted", true), ("four-mixed", false)] {
            let names: Vec<Option<&str>> = (0..ROWS).map(|row| adapter(row, sorted)).collect();
            let rows = RowAdapters::new(&names, &device);
            group.bench_function(label, |bencher| {
                bencher.iter(|| {
                    let mut pass = Pass::eval().with_rows(&rows);
                    four.logits(&batch, &mut pass).into_data()
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
