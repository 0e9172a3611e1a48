//! A basis of 500 synthetic adapters of the size of RoBERTa-base (24 sites of 768 x 768, rank 8): seconds and peak memory.
//!
//! ```text
//! cargo run --release -p peft-recycle --example pool_of_500 [FOLDER [ADAPTERS]]
//! ```
//!
//! With a folder, the adapters are made there (unless they are there already) and stay, for `tools/golden/recycle_speed.py`.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use faer::Mat;
use peak_alloc::PeakAlloc;
use peft_core::file::{HostTensor, PeftConfig, key, write_folder};
use peft_core::target::Target;
use peft_recycle::{Basis, BasisOptions, Pool};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const LAYERS: usize = 12;
const D: usize = 768;
const RANK: usize = 8;
/// Directions that the adapters share at each site and side.
const SHARED: usize = 24;

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
    let seconds = started.elapsed().as_secs_f64();
    let info = basis.info()?;
    println!(
        "built in {seconds:.2} s, peak {:.0} MB",
        HEAP.peak_usage_as_mb()
    );
    println!(
        "{} -> {} bytes ({:.1} times less), relative error of the products {:.4}",
        info.source_bytes(),
        info.shared_bytes + info.loadings_bytes(),
        info.compression(),
        info.errors.product.relative()
    );
    Ok(())
}

fn synthesise(root: &Path, count: usize) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let sites: Vec<String> = (0..LAYERS)
        .flat_map(|layer| {
            ["query", "value"].map(|role| format!("encoder.layer.{layer}.attention.self.{role}"))
        })
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut uniform =
        |rows: usize, columns: usize| Mat::from_fn(rows, columns, |_, _| rng.random::<f64>() - 0.5);
    let shared: Vec<[Mat<f64>; 2]> = sites
        .iter()
        .map(|_| [uniform(D, SHARED), uniform(D, SHARED)])
        .collect();
    let folders: Vec<PathBuf> = (0..count)
        .map(|index| root.join(format!("adapter-{index:03}")))
        .collect();
    folders
        .par_iter()
        .enumerate()
        .filter(|(_, folder)| !folder.exists())
        .try_for_each(|(index, folder)| {
            write_adapter(index as u64, folder, &sites, &shared).map_err(|error| error.to_string())
        })?;
    Ok(folders)
}

/// Factors in the shared directions and a little beside them.
fn write_adapter(
    seed: u64,
    folder: &Path,
    sites: &[String],
    shared: &[[Mat<f64>; 2]],
) -> Result<(), Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1 + seed);
    let mut uniform =
        |rows: usize, columns: usize| Mat::from_fn(rows, columns, |_, _| rng.random::<f64>() - 0.5);
    let mut tensors = BTreeMap::new();
    for (site, [a, b]) in sites.iter().zip(shared) {
        let a = a * uniform(SHARED, RANK) + uniform(D, RANK) * faer::Scale(0.2);
        let b = b * uniform(SHARED, RANK) + uniform(D, RANK) * faer::Scale(0.2);
        let values = |matrix: &Mat<f64>| -> Vec<f32> {
            (matrix.row_iter())
                .flat_map(|row| row.iter().map(|value| *value as f32))
                .collect()
        };
        let a = HostTensor::new("A", [RANK, D], values(&a.transpose().to_owned()))?;
        let b = HostTensor::new("B", [D, RANK], values(&b))?;
        tensors.insert(key(site, "lora_A.weight"), a);
        tensors.insert(key(site, "lora_B.weight"), b);
    }
    let mut config = PeftConfig::new("LORA", Target::List(vec!["query".into(), "value".into()]));
    config.r = RANK;
    config.lora_alpha = 16.0;
    config.base_model_name_or_path = Some("roberta-base".to_owned());
    fs::create_dir_all(folder)?;
    write_folder(folder, &config.to_map(&serde_json::Map::new()), &tensors)?;
    Ok(())
}
