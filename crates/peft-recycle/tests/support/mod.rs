//! Adapter folders made on the spot, and matrices.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by several test binaries, each of which uses a part; a panic is the failure report"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use faer::{Mat, MatRef};
use peft_core::file::{HostTensor, PeftConfig, key, write_folder};
use peft_core::target::Target;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sites of the adapters: path, d_in, d_out.
pub(crate) const SITES: [(&str, usize, usize); 3] = [
    ("layer.0.q", 12, 9),
    ("layer.2.q", 12, 9),
    ("layer.10.v", 7, 10),
];

pub(crate) fn random(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Not centred, as real factors are not.
    Mat::from_fn(rows, columns, |_, _| {
        f64::from((rng.random::<f64>() - 0.3) as f32)
    })
}

pub(crate) fn beside(parts: &[MatRef<'_, f64>]) -> Mat<f64> {
    let columns: Vec<_> = parts.iter().flat_map(|part| part.col_iter()).collect();
    Mat::from_fn(parts[0].nrows(), columns.len(), |row, column| {
        columns[column][row]
    })
}

/// `C C^T`: the same for all bases of one subspace.
pub(crate) fn projector(components: MatRef<'_, f64>) -> Mat<f64> {
    components * components.transpose()
}

pub(crate) fn distance(left: &Mat<f64>, right: &Mat<f64>) -> f64 {
    (left - right).norm_l2() / left.norm_l2()
}

/// An adapter that can be written.
#[derive(Clone)]
pub(crate) struct Adapter {
    pub(crate) config: PeftConfig,
    pub(crate) tensors: BTreeMap<String, HostTensor>,
}

impl Adapter {
    /// Random factors at every site, alpha twice the rank.
    pub(crate) fn new(rank: usize, seed: u64) -> Self {
        Self::at(&SITES, rank, seed)
    }

    /// The same at other sites.
    pub(crate) fn at(sites: &[(&str, usize, usize)], rank: usize, seed: u64) -> Self {
        let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
        let mut targets: Vec<String> = sites.iter().map(|(path, _, _)| last(path)).collect();
        targets.sort();
        targets.dedup();
        let mut config = PeftConfig::new("LORA", Target::List(targets));
        config.r = rank;
        config.lora_alpha = 2.0 * rank as f64;
        config.base_model_name_or_path = Some("some/base".to_owned());
        let mut adapter = Self {
            config,
            tensors: BTreeMap::new(),
        };
        for (at, (site, d_in, d_out)) in sites.iter().copied().enumerate() {
            let seed = 100 * seed + 10 * at as u64;
            adapter.put(site, "lora_A.weight", &random(rank, d_in, seed));
            adapter.put(site, "lora_B.weight", &random(d_out, rank, seed + 1));
        }
        adapter
    }

    pub(crate) fn put(&mut self, site: &str, tensor: &str, values: &Mat<f64>) {
        let data = (0..values.nrows())
            .flat_map(|row| (0..values.ncols()).map(move |column| values[(row, column)] as f32));
        let shape = [values.nrows(), values.ncols()];
        let tensor_values = HostTensor::new(tensor, shape, data.collect()).unwrap();
        self.tensors.insert(key(site, tensor), tensor_values);
    }

    /// A tensor of one dimension.
    pub(crate) fn put_vector(&mut self, site: &str, tensor: &str, values: Vec<f32>) {
        let values = HostTensor::new(tensor, [values.len()], values).unwrap();
        self.tensors.insert(key(site, tensor), values);
    }

    /// The same with the scale in B and alpha equal to the rank.
    pub(crate) fn folded(mut self) -> Self {
        let scale = self.config.lora_alpha / self.config.r as f64;
        for (name, tensor) in &mut self.tensors {
            if name.ends_with("lora_B.weight") {
                for value in &mut tensor.data {
                    *value *= scale as f32;
                }
            }
        }
        self.config.lora_alpha = self.config.r as f64;
        self
    }

    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let config = self.config.to_map(&serde_json::Map::new());
        write_folder(folder, &config, &self.tensors).unwrap();
        folder.to_owned()
    }

    /// `s B A` at a site, dense, from a folder's own tensors with scale `s`.
    pub(crate) fn product(&self, site: &str, scale: f64) -> Mat<f64> {
        let matrix = |tensor: &str| {
            let tensor = &self.tensors[&key(site, tensor)];
            let width = tensor.shape[1];
            Mat::from_fn(tensor.shape[0], width, |row, column| {
                f64::from(tensor.data[row * width + column])
            })
        };
        matrix("lora_B.weight") * matrix("lora_A.weight") * faer::Scale(scale)
    }
}

/// So many adapters of the given ranks in one folder.
pub(crate) fn folders(root: &Path, ranks: &[usize]) -> Vec<PathBuf> {
    ranks
        .iter()
        .enumerate()
        .map(|(at, rank)| Adapter::new(*rank, at as u64).write(&root.join(format!("adapter-{at}"))))
        .collect()
}
