//! The singular values and vectors of a frozen weight as f32, computed once and kept in a folder for the next time.
//!
//! A file of the folder is called by the digest of the weight it belongs to, so that another base never finds it. One that cannot be
//! read, or whose numbers do not belong to the weight, is ignored and written again; where none can be written, the run goes on without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use peft_core::file::{HostTensor, disk, read_tensors, write_tensors};
use peft_core::{PeftError, Site, Slot};

use crate::svd::{Decomposition, finite_values};

/// `W = left diag(sigma) right`, values in falling order.
#[derive(Debug, PartialEq)]
pub(crate) struct BaseVectors {
    /// Every singular value, `n = min(d_in, d_out)`.
    sigma: Vec<f32>,
    /// `[d_in, n]`.
    left: Vec<f32>,
    /// `[n, d_out]`.
    right: Vec<f32>,
}

/// Names of the tensors in a file.
const SIGMA: &str = "sigma";
const LEFT: &str = "left";
const RIGHT: &str = "right";

impl BaseVectors {
    /// Those of a slot's weight, whose digest the caller knows: from the slot's cache, or computed and put there.
    ///
    /// # Errors
    /// [`PeftError::Base`] when the weight holds NaN or infinite values, or the iteration does not converge.
    pub(crate) fn of(slot: &Slot<'_>, digest: [u8; 32]) -> Result<Self, PeftError> {
        let Some(folder) = slot.cache else {
            return Self::compute(slot);
        };
        let path = path(folder, digest);
        let weight = finite_values(slot)?;
        if let Some(found) = Self::read(&path, slot.site)
            && found.belong_to(&weight)
        {
            return Ok(found);
        }
        let computed = Self::compute(slot)?;
        computed.write(&path, slot.site);
        Ok(computed)
    }

    fn compute(slot: &Slot<'_>) -> Result<Self, PeftError> {
        let svd = Decomposition::of(slot)?;
        let n = svd.values().len();
        Ok(Self {
            sigma: svd.values().iter().map(|value| *value as f32).collect(),
            left: svd.left(0..n, |_| 1.0).iter::<f32>().collect(),
            right: svd.right(0..n, |_| 1.0).iter::<f32>().collect(),
        })
    }

    fn read(path: &Path, site: &Site) -> Option<Self> {
        let mut tensors = read_tensors(path).ok()?;
        let mut take = |(name, shape): (&str, Vec<usize>)| {
            let tensor = tensors.remove(name)?;
            (tensor.shape == shape).then_some(tensor.data)
        };
        let [sigma, left, right] = shapes(site);
        Some(Self {
            sigma: take(sigma)?,
            left: take(left)?,
            right: take(right)?,
        })
    }

    /// Whether `||W||_F^2` is the sum of the squared values, and the first pair of vectors gives the first value.
    fn belong_to(&self, weight: &[f32]) -> bool {
        let n = self.sigma.len();
        let d_out = self.right.len() / n.max(1);
        let energy = |values: &[f32]| {
            let squares = values.iter().map(|value| f64::from(*value).powi(2));
            squares.sum::<f64>()
        };
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-4 * a.abs().max(b.abs()) + 1e-12;
        let first: f64 = weight
            .chunks(d_out.max(1))
            .zip(self.left.chunks(n.max(1)))
            .map(|(row, left)| {
                let along = row.iter().zip(&self.right);
                let sum: f64 = along.map(|(w, v)| f64::from(*w) * f64::from(*v)).sum();
                f64::from(left[0]) * sum
            })
            .sum();
        n > 0 && close(energy(&self.sigma), energy(weight)) && close(first, self.sigma[0].into())
    }

    /// A cache that cannot be written costs time and nothing else.
    fn write(&self, path: &Path, site: &Site) {
        let values = [&self.sigma, &self.left, &self.right];
        let tensors: Result<BTreeMap<String, HostTensor>, _> = shapes(site)
            .into_iter()
            .zip(values)
            .map(|((name, shape), data)| {
                Ok((name.to_owned(), HostTensor::new(name, shape, data.clone())?))
            })
            .collect::<Result<_, peft_core::file::TensorProblem>>();
        if let (Ok(tensors), Some(folder)) = (tensors, path.parent())
            && disk::create_dir_all(folder).is_ok()
        {
            write_tensors(path, &tensors).ok();
        }
    }

    /// Every singular value, in falling order.
    pub(crate) fn sigma(&self) -> &[f32] {
        &self.sigma
    }

    /// The first `k` columns of `left`: `[d_in, k]`.
    pub(crate) fn left(&self, k: usize) -> TensorData {
        let rows = self.left.chunks(self.sigma.len().max(1));
        let values: Vec<f32> = rows.flat_map(|row| &row[..k]).copied().collect();
        let d_in = values.len() / k.max(1);
        TensorData::new(values, [d_in, k])
    }

    /// The first `k` rows of `right`: `[k, d_out]`.
    pub(crate) fn right(&self, k: usize) -> TensorData {
        let d_out = self.right.len() / self.sigma.len().max(1);
        TensorData::new(self.right[..k * d_out].to_vec(), [k, d_out])
    }
}

fn shapes(site: &Site) -> [(&'static str, Vec<usize>); 3] {
    let n = site.d_in.min(site.d_out);
    [
        (SIGMA, vec![n]),
        (LEFT, vec![site.d_in, n]),
        (RIGHT, vec![n, site.d_out]),
    ]
}

fn path(folder: &Path, digest: [u8; 32]) -> PathBuf {
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(name).with_extension("safetensors")
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use peft_core::Peers;
    use peft_core::init::gaussian;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SITE: (usize, usize) = (7, 5);
    const DIGEST: [u8; 32] = [7; 32];

    fn with_slot<R>(seed: u64, cache: &Path, use_it: impl FnOnce(&Slot<'_>) -> R) -> R {
        let site = Site::new("a.b", SITE.0, SITE.1);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let weight = gaussian(SITE.0, SITE.1, 0.5, &mut rng);
        let weight = Tensor::<2>::from_data(weight, &Device::default()).into();
        use_it(&Slot {
            site: &site,
            weight: &weight,
            adapter: "default",
            rank: 2,
            alpha: 2.0,
            seed: 0,
            cache: Some(cache),
            peers: Peers::default(),
        })
    }

    #[test]
    fn what_was_kept_is_read_back_bit_for_bit_and_not_written_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cache");
        with_slot(1, &folder, |slot| {
            let first = BaseVectors::of(slot, DIGEST).unwrap();
            let path = path(&folder, DIGEST);
            let written = std::fs::metadata(&path).unwrap().modified().unwrap();
            assert_eq!(BaseVectors::of(slot, DIGEST).unwrap(), first);
            assert_eq!(
                std::fs::metadata(&path).unwrap().modified().unwrap(),
                written
            );
            assert_eq!(first, BaseVectors::compute(slot).unwrap());
        });
    }

    #[test]
    fn broken_and_foreign_files_are_passed_over_and_written_anew() {
        let root = tempfile::tempdir().unwrap();
        let path = path(root.path(), DIGEST);
        std::fs::write(&path, b"not a tensor file").unwrap();
        let own = with_slot(1, root.path(), |slot| {
            let own = BaseVectors::of(slot, DIGEST).unwrap();
            assert_eq!(own, BaseVectors::compute(slot).unwrap());
            own
        });
        // Another weight under the same name: the file's numbers are not its own.
        with_slot(2, root.path(), |slot| {
            let other = BaseVectors::of(slot, DIGEST).unwrap();
            assert_ne!(other, own);
            assert_eq!(other, BaseVectors::read(&path, slot.site).unwrap());
        });
    }

    #[test]
    fn a_folder_that_cannot_be_made_costs_nothing_but_time() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "in the way").unwrap();
        with_slot(1, &file.join("cache"), |slot| {
            assert!(BaseVectors::of(slot, DIGEST).is_ok());
        });
    }
}
