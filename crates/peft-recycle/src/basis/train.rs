//! What training in a basis starts from: components and loadings, site by site.

use faer::Mat;
use indexmap::IndexMap;
use peft_format::file::TensorFile;

use super::Basis;
use super::coordinates::stored_loadings;
use super::files::loadings_path;
use super::manifest::Side;
use crate::error::RecycleError;
use crate::options::Mean;

impl Basis {
    /// Whether an adapter is linear in its loadings here, so that they can be trained and exported as a LoRA.
    ///
    /// # Errors
    /// [`RecycleError::NotLinear`] for a basis with stored means.
    pub(crate) fn check_linear(&self) -> Result<(), RecycleError> {
        if self.options().mean != Mean::Stored {
            return Ok(());
        }
        Err(RecycleError::NotLinear {
            folder: self.folder().to_owned(),
            problem: "it adds a stored mean to what loadings give; build it with the mean as a direction, or uncentred",
        })
    }

    /// The rank of all factors at a site, in a basis of whole factors.
    pub(crate) fn rank(&self, path: &str) -> Option<usize> {
        self.manifest.sites.get(path)?.rank
    }

    /// Numbers of components at a site, of A and of B; `None` where the basis has none.
    pub(crate) fn counts(&self, path: &str) -> Option<(usize, usize)> {
        let site = self.manifest.sites.get(path)?;
        Some((site.a.components, site.b.components))
    }

    /// Those of every site.
    pub(crate) fn all_counts(&self) -> IndexMap<String, (usize, usize)> {
        let sites = self.manifest.sites.iter();
        sites
            .map(|(path, site)| (path.clone(), (site.a.components, site.b.components)))
            .collect()
    }

    /// `C_A [d_in, k_a]` and `C_B^T [d_out, k_b]` at a site; of whole factors `[d_in rank, k_a]` and `[d_out rank, k_b]`.
    ///
    /// # Errors
    /// [`RecycleError::NoSite`], [`RecycleError::Malformed`] and [`RecycleError::File`].
    pub(crate) fn components(&self, path: &str) -> Result<[Mat<f64>; 2], RecycleError> {
        Ok(self
            .directions(path)?
            .map(|directions| directions.components))
    }

    /// The mean loadings `L_A [k_a, rank]` and `L_B [k_b, rank]` (of whole factors `[k_a, 1]` and `[k_b, 1]`) of the adapters that have this rank at a site; `None` where none has.
    ///
    /// # Errors
    /// [`RecycleError::Malformed`] and [`RecycleError::File`].
    pub(crate) fn mean_loadings(
        &self,
        path: &str,
        rank: usize,
    ) -> Result<Option<[Mat<f64>; 2]>, RecycleError> {
        let mut sum: Option<[Mat<f64>; 2]> = None;
        let mut count = 0;
        for (name, member) in &self.manifest.members {
            let Some(entry) = member.sites.get(path).filter(|entry| entry.rank == rank) else {
                continue;
            };
            let file = TensorFile::open(&loadings_path(&self.folder, name))?;
            let loadings = |side| stored_loadings(&self.manifest, &file, path, entry, side);
            let [a, b] = [loadings(Side::A)?, loadings(Side::B)?];
            count += 1;
            sum = Some(match sum {
                Some([sum_a, sum_b]) => [sum_a + a, sum_b + b],
                None => [a, b],
            });
        }
        let share = faer::Scale(1.0 / f64::from(count.max(1)));
        Ok(sum.map(|sums| sums.map(|sum| sum * share)))
    }
}
