//! Coordinates of an adapter: `L_A = C_A^T A^T`, `L_B = C_B^T B`, and how far the adapter is from what they give back.

use std::borrow::Cow;
use std::path::Path;

use faer::Mat;
use indexmap::IndexMap;
use peft_format::Factors;
use peft_format::file::{HostTensor, TensorFile};

use super::files::{component_key, from_tensor, loadings_key, mean_key};
use super::manifest::{Manifest, MemberSiteEntry, Side};
use super::{Basis, malformed};
use crate::deviation::Errors;
use crate::error::{MemberFault, RecycleError};
use crate::flat::{flatten, unflatten};
use crate::options::{Mean, Variant};
use crate::pool::{Pool, last_part};
use crate::subspace::{project, reconstruct};

/// The directions of one factor at one site, as the file has them.
#[derive(Debug, Clone)]
pub(super) struct Directions {
    /// `[d, k]`.
    pub(super) components: Mat<f64>,
    /// `[d, 1]`.
    pub(super) mean: Option<Mat<f64>>,
}

impl Directions {
    /// What a factor is as columns.
    pub(super) fn vectors(variant: Variant, factor: &Mat<f64>) -> Cow<'_, Mat<f64>> {
        match variant {
            Variant::Columns => Cow::Borrowed(factor),
            Variant::Flat => Cow::Owned(flatten(factor.as_ref())),
        }
    }

    /// Loadings of columns.
    pub(super) fn project(&self, vectors: &Mat<f64>) -> Mat<f64> {
        let mean = self.mean.as_ref().map(Mat::as_ref);
        project(self.components.as_ref(), mean, vectors.as_ref())
    }

    /// Columns of loadings.
    pub(super) fn reconstruct(&self, loadings: &Mat<f64>) -> Mat<f64> {
        let mean = self.mean.as_ref().map(Mat::as_ref);
        reconstruct(self.components.as_ref(), mean, loadings.as_ref())
    }

    /// The factor `[d, r]` of loadings.
    pub(super) fn factor(&self, variant: Variant, loadings: &Mat<f64>, rank: usize) -> Mat<f64> {
        let vectors = self.reconstruct(loadings);
        match variant {
            Variant::Columns => vectors,
            Variant::Flat => unflatten(vectors.as_ref(), vectors.nrows() / rank.max(1), rank),
        }
    }
}

/// An adapter at one site, in the coordinates of a basis.
#[derive(Debug, Clone)]
pub struct Coordinates {
    /// `L_A [k_a, r]`; `[k_a, 1]` in the flattened variant.
    pub a: Mat<f64>,
    /// `L_B [k_b, r]`; `[k_b, 1]` in the flattened variant.
    pub b: Mat<f64>,
    /// Rank of the factors.
    pub rank: usize,
    /// Between the adapter and what these coordinates give back.
    pub errors: Errors,
}

impl Coordinates {
    /// Of factors, in single precision as files hold them.
    pub(super) fn of(factors: &Factors, variant: Variant, [a, b]: [&Directions; 2]) -> Self {
        let rank = factors.a.ncols();
        let loadings = |directions: &Directions, factor: &Mat<f64>| {
            single(&directions.project(&Directions::vectors(variant, factor)))
        };
        let (l_a, l_b) = (loadings(a, &factors.a), loadings(b, &factors.b));
        let (back_a, back_b) = (a.factor(variant, &l_a, rank), b.factor(variant, &l_b, rank));
        Self {
            errors: Errors::between(
                (factors.a.as_ref(), factors.b.as_ref()),
                (back_a.as_ref(), back_b.as_ref()),
            ),
            a: l_a,
            b: l_b,
            rank,
        }
    }
}

/// An adapter in the coordinates of a basis.
#[derive(Debug, Clone)]
pub struct Projection {
    /// Name that it would have as a member.
    pub name: String,
    /// Its sites.
    pub sites: IndexMap<String, Coordinates>,
    /// Over all its sites.
    pub errors: Errors,
    /// Its base, where that has another name than the basis's; its layers have the names and sizes of those there.
    pub other_base: Option<String>,
}

impl Basis {
    /// Coordinates of an adapter folder, without adding it: how well this basis describes an adapter that it may never have seen.
    ///
    /// # Errors
    /// [`RecycleError::Members`] when it cannot be read or does not fit, [`RecycleError::OtherSites`] when it has sites that the basis lacks,
    /// [`RecycleError::Rank`] in the flattened variant.
    pub fn project(&self, folder: &Path) -> Result<Projection, RecycleError> {
        let pool = self.fitting(folder)?;
        self.coordinates_of(&pool)
    }

    /// Coordinates of the one member of a pool.
    pub(super) fn coordinates_of(&self, pool: &Pool) -> Result<Projection, RecycleError> {
        let mut sites = IndexMap::new();
        let mut errors = Errors::default();
        for path in pool.sites().keys() {
            let directions = self.directions(path)?;
            if let Some(factors) = factors(pool, path)? {
                let [a, b] = &directions;
                let coordinates = Coordinates::of(&factors, self.options().variant, [a, b]);
                errors += coordinates.errors;
                sites.insert(path.clone(), coordinates);
            }
        }
        Ok(Projection {
            name: pool.members()[0].name().to_owned(),
            sites,
            errors,
            other_base: self.other_base(pool).map(|(_, found)| found),
        })
    }

    /// A pool of one adapter, whose sites are among those of the basis and have their dimensions.
    pub(super) fn fitting(&self, folder: &Path) -> Result<Pool, RecycleError> {
        let pool = Pool::open(&[folder])?.with_folding(self.folding());
        let fault = |fault| RecycleError::member(folder.to_owned(), fault);
        let mut others = Vec::new();
        for (path, site) in pool.sites() {
            let Some(known) = self.manifest.sites.get(path) else {
                others.push(path.clone());
                continue;
            };
            let (expected, found) = ((known.d_in, known.d_out), (site.d_in, site.d_out));
            if expected != found {
                let width = MemberFault::Width {
                    site: path.clone(),
                    expected,
                    found,
                };
                return Err(fault(self.other_layers(&pool).unwrap_or(width)));
            }
            let member = &pool.members()[0];
            let rank = member.sites()[path].rank;
            if let Some(expected) = known.rank.filter(|expected| *expected != rank) {
                return Err(RecycleError::Rank {
                    site: path.clone(),
                    member: member.name().to_owned(),
                    expected,
                    found: rank,
                });
            }
        }
        match self.other_layers(&pool) {
            _ if others.is_empty() => Ok(pool),
            Some(of_other_base) => Err(fault(of_other_base)),
            None => Err(RecycleError::OtherSites { sites: others }),
        }
    }

    /// What the base is called here and in a pool, where those are names of two models.
    fn other_base(&self, pool: &Pool) -> Option<(String, String)> {
        let (expected, found) = (self.base_model()?, pool.base_model()?);
        let differ = last_part(expected) != last_part(found);
        differ.then(|| (expected.to_owned(), found.to_owned()))
    }

    /// Why the layers of a pool are not those of the basis, where its base has another name.
    fn other_layers(&self, pool: &Pool) -> Option<MemberFault> {
        let (expected, found) = self.other_base(pool)?;
        Some(MemberFault::Layers { expected, found })
    }

    /// The directions of both factors at a site.
    pub(super) fn directions(&self, path: &str) -> Result<[Directions; 2], RecycleError> {
        let site = self
            .manifest
            .sites
            .get(path)
            .ok_or_else(|| RecycleError::NoSite {
                site: path.to_owned(),
                place: "basis",
            })?;
        let keys = Side::BOTH.map(|side| [component_key(path, side), mean_key(path, side)]);
        let names = keys.iter().flatten().map(String::as_str);
        let tensors = self.components.read(names)?;
        let stored = self.options().mean == Mean::Stored;
        let of = |side: Side, [components, mean]: &[String; 2]| Directions {
            components: from_tensor(&tensors[components], side.of(site).components)
                .transpose()
                .to_owned(),
            mean: stored.then(|| column(&tensors[mean])),
        };
        Ok([of(Side::A, &keys[0]), of(Side::B, &keys[1])])
    }
}

impl Manifest {
    /// What is written of an adapter: one entry per site and its errors.
    pub(super) fn scale_left(&self, scale: f64) -> f64 {
        match self.folding {
            crate::Folding::IntoB => 1.0,
            crate::Folding::None => scale,
        }
    }
}

/// The loadings of a member at a site from its file.
///
/// # Errors
/// [`RecycleError::Malformed`] when they are missing or of another shape, and [`RecycleError::File`].
pub(super) fn stored_loadings(
    manifest: &Manifest,
    file: &TensorFile,
    path: &str,
    entry: &MemberSiteEntry,
    side: Side,
) -> Result<Mat<f64>, RecycleError> {
    let site = &manifest.sites[path];
    let (key, k) = (loadings_key(path, side), side.of(site).components);
    let width = site.rank.map_or(entry.rank, |_| 1);
    let mut tensors = file.read([key.as_str()])?;
    let fits =
        |tensor: &HostTensor| matches!(tensor.shape[..], [rows, w] if rows <= k && w == width);
    let found = tensors.remove(&key).filter(fits).ok_or_else(|| {
        let message = format!("expected `{key}` [{k} or fewer, {width}]");
        malformed(file.path(), message)
    })?;
    Ok(from_tensor(&found, k))
}

fn factors(pool: &Pool, path: &str) -> Result<Option<Factors>, RecycleError> {
    pool.factors(0, path)
        .map_err(|problem| RecycleError::Members {
            problems: vec![problem],
        })
}

fn column(tensor: &HostTensor) -> Mat<f64> {
    Mat::from_fn(tensor.data.len(), 1, |row, _| f64::from(tensor.data[row]))
}

/// Rounded to single precision.
#[allow(
    clippy::cast_possible_truncation,
    reason = "files hold single precision"
)]
pub(crate) fn single(matrix: &Mat<f64>) -> Mat<f64> {
    let (rows, columns) = matrix.shape();
    Mat::from_fn(rows, columns, |row, column| {
        f64::from(matrix[(row, column)] as f32)
    })
}
