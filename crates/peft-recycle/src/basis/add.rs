//! Adapters that join a basis.

use std::collections::BTreeMap;
use std::path::Path;

use faer::Mat;
use peft_format::file::{HostTensor, TensorFile, claim_folder, write_tensors};
use peft_format::linalg::append;

use super::Basis;
use super::build::{loadings_of, tensors_of};
use super::coordinates::{Directions, Projection, single};
use super::export::plain_config;
use super::files::{COMPONENTS, loadings_path};
use super::manifest::{MemberEntry, MemberSiteEntry, Side};
use crate::error::{RecycleError, SubspaceError};
use crate::pool::Pool;

/// Parts of an adapter below this share of it are rounding of files in single precision, and get no direction.
const RESOLUTION: f64 = 1e-6;

/// What happens to the part of a new adapter that the components do not reach.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Extend {
    /// It is lost.
    #[default]
    No,
    /// Directions of it are appended to the components of a factor, the strongest first, until the relative error of the factor is at most
    /// this; 0 makes the new adapter exact, up to single precision. The coordinates of the other adapters stay valid: along the new
    /// directions they are zero.
    Residual(f64),
}

impl Basis {
    /// Adds an adapter folder, and says how far it is from what comes back of it.
    ///
    /// # Errors
    /// Those of [`Basis::project`], [`RecycleError::MemberExists`], and [`RecycleError::File`]; then the basis is what it was.
    pub fn add(&mut self, folder: &Path, extend: Extend) -> Result<Projection, RecycleError> {
        let _claim = claim_folder(&self.folder, true)?;
        // Another process may have changed it.
        *self = Self::open(&self.folder)?;
        self.tidy();
        let pool = self.fitting(folder)?;
        let member = &pool.members()[0];
        if self.manifest.members.contains_key(member.name()) {
            return Err(RecycleError::MemberExists {
                name: member.name().to_owned(),
            });
        }
        let before = self.manifest.clone();
        let added = (|| {
            if let Extend::Residual(threshold) = extend {
                self.extend(&pool, threshold)?;
            }
            let projection = self.coordinates_of(&pool)?;
            self.write_member(&pool, &projection)?;
            Ok(projection)
        })();
        if added.is_err() {
            self.manifest = before;
        }
        added
    }

    fn write_member(&mut self, pool: &Pool, projection: &Projection) -> Result<(), RecycleError> {
        let member = &pool.members()[0];
        let mut tensors = member
            .carried()
            .map_err(|fault| RecycleError::member(member.folder().to_owned(), fault))?;
        let mut entry = MemberEntry {
            source_bytes: member.bytes(),
            config: plain_config(member),
            sites: Default::default(),
        };
        for (path, coordinates) in &projection.sites {
            tensors.extend(loadings_of(path, coordinates));
            let site = MemberSiteEntry {
                rank: coordinates.rank,
                scale: self.manifest.scale_left(member.sites()[path].scale),
                errors: coordinates.errors,
            };
            entry.sites.insert(path.clone(), site);
        }
        write_tensors(&loadings_path(&self.folder, member.name()), &tensors)?;
        self.manifest
            .members
            .insert(member.name().to_owned(), entry);
        self.manifest.write(&self.folder)
    }

    /// Appends directions for what an adapter has beyond the components. The file gets them before `basis.json` counts them, so that a
    /// kill in between leaves rows that nobody reads.
    fn extend(&mut self, pool: &Pool, threshold: f64) -> Result<(), RecycleError> {
        let mut grown: BTreeMap<String, HostTensor> = BTreeMap::new();
        for path in pool.sites().keys() {
            let factors = pool
                .factors(0, path)
                .map_err(|problem| RecycleError::Members {
                    problems: vec![problem],
                })?;
            let Some(factors) = factors else { continue };
            let directions = self.directions(path)?;
            let sides = Side::BOTH.into_iter().zip(directions);
            for ((side, mut directions), factor) in sides.zip([&factors.a, &factors.b]) {
                let vectors = Directions::vectors(self.options().variant, factor);
                let more = residual(&mut directions, &vectors, threshold).map_err(|source| {
                    RecycleError::Subspace {
                        site: path.clone(),
                        side: side.name(),
                        source,
                    }
                })?;
                // Rows that a killed run left behind must go where new ones count.
                grown.extend(tensors_of(path, side, &directions));
                let site = &mut self.manifest.sites[path.as_str()];
                let entry = match side {
                    Side::A => &mut site.a,
                    Side::B => &mut site.b,
                };
                entry.components += more;
                entry.added += more;
            }
        }
        let names = self.components.names();
        let mut tensors = self.components.read(names.iter().map(String::as_str))?;
        tensors.extend(grown);
        let path = self.folder.join(COMPONENTS);
        write_tensors(&path, &tensors)?;
        self.components = TensorFile::open(&path)?;
        Ok(())
    }
}

/// Appends the strongest directions of what columns have beyond the components, until the relative error is at most `threshold`. Returns
/// how many.
fn residual(
    directions: &mut Directions,
    vectors: &Mat<f64>,
    threshold: f64,
) -> Result<usize, SubspaceError> {
    let rest = vectors - directions.reconstruct(&directions.project(vectors));
    let norm = vectors.norm_l2();
    if rest.norm_l2() <= threshold.max(RESOLUTION) * norm {
        return Ok(0);
    }
    let svd = rest.thin_svd().map_err(|_| SubspaceError::NoConvergence)?;
    let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    let before = directions.components.ncols();
    for (column, value) in values.iter().enumerate() {
        let left: f64 = values[column..].iter().map(|value| value.powi(2)).sum();
        if left.sqrt() <= threshold * norm || *value <= RESOLUTION * norm {
            break;
        }
        let direction = svd.U().subcols(column, 1).to_owned();
        append(&mut directions.components, &direction, RESOLUTION);
    }
    directions.components = single(&directions.components);
    Ok(directions.components.ncols() - before)
}
