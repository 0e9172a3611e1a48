//! A basis of 500 synthetic adapters of the size of RoBERTa-base (24 sites of 768 x 768, rank 8): seconds and peak memory, the last line as
//! JSON.
//!
//! ```text
//! cargo run --release --example pool_of_500 [FOLDER [ADAPTERS]]
//! ```
//!
//! With a folder, the adapters are made there (unless they are there already) and stay, for `tools/compare/basis_time.py`.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use peak_alloc::PeakAlloc;
use peft_benches::pool::synthesise;
use peft_recycle::{Basis, BasisOptions, Pool};
use serde_json::json;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let temporary = tempfile::tempdir()?;
    let root = arguments
        .next()
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let count: usize = arguments.next().map_or(Ok(500), |count| count.parse())?;
    let started = Instant::now();
    let folders = synthesise(&root, count)?;
    println!("{count} adapters made in {:.1?}", started.elapsed());

    let out = tempfile::tempdir()?;
    HEAP.reset_peak_usage();
    let started = Instant::now();
    let pool = Pool::open(&folders)?;
    println!("opened in {:.2?}", started.elapsed());
    let basis = Basis::build(&pool, &BasisOptions::default(), out.path())?;
    let (seconds, peak) = (started.elapsed().as_secs_f64(), HEAP.peak_usage_as_mb());
    let info = basis.info()?;
    println!(
        "{} -> {} bytes ({:.1} times less), relative error of the products {:.4}",
        info.source_bytes(),
        info.shared_bytes + info.loadings_bytes(),
        info.compression(),
        info.errors.product.relative()
    );
    println!("{}", json!({"seconds": seconds, "peak_mb": peak}));
    Ok(())
}
