//! Synthetic adapters of the size of RoBERTa-base: query and value of 12 layers of 768 x 768, rank 8, that share directions.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use faer::Mat;
use peft_core::file::{HostTensor, PeftConfig, key, write_folder};
use peft_core::target::Target;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const LAYERS: usize = 12;
const D: usize = 768;
const RANK: usize = 8;
/// Directions that the adapters share at each site and side.
const SHARED: usize = 24;

/// Makes `count` adapter folders below `root`, those that are not there yet, and gives all of them.
///
/// # Errors
/// When a folder cannot be written.
pub fn synthesise(root: &Path, count: usize) -> Result<Vec<PathBuf>, Box<dyn Error>> {
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
