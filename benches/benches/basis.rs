//! A basis of 120 adapters of RoBERTa-base's size: their columns are more than each is high, as those of any large pool.

use criterion::Criterion;
use peft_benches::pool::synthesise;
use peft_recycle::{Basis, BasisOptions, Pool};

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let folders = synthesise(&dir.path().join("adapters"), 120).expect("the adapters are written");
    let mut runs = 0;
    let mut group = criterion.benchmark_group("basis");
    group.bench_function("120-adapters", |bencher| {
        bencher.iter(|| {
            runs += 1;
            let out = dir.path().join(runs.to_string());
            let pool = Pool::open(&folders).expect("the folders are adapters");
            Basis::build(&pool, &BasisOptions::default(), &out).expect("the basis is written")
        });
    });
    group.finish();
    criterion.final_summary();
}
