//! What is said of bases and pools of adapters (EigenLoRAx).

use indexmap::IndexMap;
use peft_recycle::{Basis, Errors, LeaveOneOut, Pool, Projection, SideInfo, Similarity};
use serde::Serialize;

use crate::Result;

/// Says that members name different bases, unless somebody said that they belong together.
pub fn warn_of_bases(pool: &Pool, any_base: bool) {
    let names = pool.base_names();
    if names.len() > 1 && !any_base {
        log::warn!(
            "the adapters name different bases ({}); their layers have the same names and sizes, and they are taken as adapters \
             of one: make sure that they are, and say so with --any-base",
            names.join(", ")
        );
    }
}

/// Relative errors of the updates and of their factors.
#[derive(Debug, Serialize)]
pub struct ErrorReport {
    /// Of the updates `B A`.
    pub product: f64,
    /// Of A.
    pub a: f64,
    /// Of B.
    pub b: f64,
}

impl ErrorReport {
    fn of(errors: &Errors) -> Self {
        Self {
            product: errors.product.relative(),
            a: errors.a.relative(),
            b: errors.b.relative(),
        }
    }
}

/// One factor at one layer.
#[derive(Debug, Serialize)]
pub struct SideReport {
    /// All directions.
    pub components: usize,
    /// Directions found in the adapters.
    pub principal: usize,
    /// Random directions.
    pub pseudo: usize,
    /// Directions of adapters that joined later.
    pub added: usize,
    /// Share of the variance that they explain.
    pub explained: f64,
}

impl SideReport {
    fn of(side: &SideInfo) -> Self {
        Self {
            components: side.components,
            principal: side.principal,
            pseudo: side.pseudo,
            added: side.added,
            explained: side.explained,
        }
    }
}

/// One layer of a basis.
#[derive(Debug, Serialize)]
pub struct SiteReport {
    /// Path of the layer.
    pub path: String,
    /// Size of its input.
    pub d_in: usize,
    /// Size of its output.
    pub d_out: usize,
    /// Directions of A.
    pub a: SideReport,
    /// Directions of B.
    pub b: SideReport,
    /// What is lost there.
    pub error: ErrorReport,
}

/// One adapter of a basis.
#[derive(Debug, Serialize)]
pub struct MemberReport {
    /// Its name.
    pub name: String,
    /// Bytes of its own folder.
    pub source_bytes: u64,
    /// Bytes of its coordinates.
    pub loadings_bytes: u64,
    /// Its smallest rank.
    pub smallest_rank: usize,
    /// Its largest rank.
    pub largest_rank: usize,
    /// What is lost of it.
    pub error: ErrorReport,
}

/// A basis in numbers.
#[derive(Debug, Serialize)]
pub struct BasisReport {
    /// Folder of the basis.
    pub basis: String,
    /// What the base model is called.
    pub base_model: Option<String>,
    /// Bytes of the directions.
    pub shared_bytes: u64,
    /// Bytes of all coordinates.
    pub loadings_bytes: u64,
    /// Bytes of all adapters by themselves.
    pub source_bytes: u64,
    /// How many times smaller the basis is, with its coordinates.
    pub compression: f64,
    /// The same without heads and other tensors that are kept as they are.
    pub factor_compression: f64,
    /// What is lost of all adapters.
    pub error: ErrorReport,
    /// Its adapters.
    pub members: Vec<MemberReport>,
    /// Its layers.
    pub sites: Vec<SiteReport>,
}

impl BasisReport {
    /// Describes a basis.
    ///
    /// # Errors
    /// A basis that cannot be read.
    pub fn of(basis: &Basis) -> Result<Self> {
        let info = basis.info()?;
        let members = info.members.iter().map(|member| MemberReport {
            name: member.name.clone(),
            source_bytes: member.source_bytes,
            loadings_bytes: member.loadings_bytes,
            smallest_rank: member.ranks.0,
            largest_rank: member.ranks.1,
            error: ErrorReport::of(&member.errors),
        });
        let sites = info.sites.iter().map(|site| SiteReport {
            path: site.path.clone(),
            d_in: site.d_in,
            d_out: site.d_out,
            a: SideReport::of(&site.a),
            b: SideReport::of(&site.b),
            error: ErrorReport::of(&site.errors),
        });
        Ok(Self {
            basis: basis.folder().display().to_string(),
            base_model: basis.base_model().map(str::to_owned),
            shared_bytes: info.shared_bytes,
            loadings_bytes: info.loadings_bytes(),
            source_bytes: info.source_bytes(),
            compression: info.compression(),
            factor_compression: info.factor_compression(),
            error: ErrorReport::of(&info.errors),
            members: members.collect(),
            sites: sites.collect(),
        })
    }
}

/// An adapter in the coordinates of a basis.
#[derive(Debug, Serialize)]
pub struct ProjectionReport {
    /// Name of the adapter.
    pub name: String,
    /// What is lost of it.
    pub error: ErrorReport,
    /// What is lost at each layer.
    pub sites: IndexMap<String, ErrorReport>,
}

impl ProjectionReport {
    /// Of an adapter that was projected; says where its base is called otherwise.
    pub fn of(projection: &Projection) -> Self {
        if let Some(base) = &projection.other_base {
            log::warn!(
                "{}: its base is called `{base}`, unlike that of the basis; its layers have the same names and sizes, and it is \
                 taken as an adapter of the same base",
                projection.name
            );
        }
        let sites = projection.sites.iter();
        Self {
            name: projection.name.clone(),
            error: ErrorReport::of(&projection.errors),
            sites: sites
                .map(|(path, site)| (path.clone(), ErrorReport::of(&site.errors)))
                .collect(),
        }
    }
}

/// Cosines of adapters with each other.
#[derive(Debug, Serialize)]
pub struct SimilarityReport<'a> {
    /// Names of the adapters.
    pub names: &'a [String],
    /// Cosines, a row for each adapter.
    pub overall: &'a [Vec<f64>],
}

impl<'a> SimilarityReport<'a> {
    /// Of the cosines that were found.
    pub fn of(found: &'a Similarity) -> Self {
        Self {
            names: &found.names,
            overall: &found.overall.cosines,
        }
    }
}

/// Errors of adapters that a basis of the others has not seen.
#[derive(Debug, Serialize)]
pub struct HeldOutReport {
    /// Numbers of directions.
    pub components: Vec<usize>,
    /// Mean error over the adapters, for each number.
    pub mean: Vec<f64>,
    /// Errors of each adapter, for each number.
    pub members: IndexMap<String, Vec<ErrorReport>>,
    /// Layers that one adapter alone has.
    pub lonely_sites: Vec<String>,
}

impl HeldOutReport {
    /// Of the errors that were found.
    pub fn of(found: &LeaveOneOut) -> Self {
        let members = found.members.iter().map(|member| {
            let errors = member.errors.iter().map(ErrorReport::of);
            (member.name.clone(), errors.collect())
        });
        Self {
            components: found.components.clone(),
            mean: found.mean_product_error(),
            members: members.collect(),
            lonely_sites: found.lonely_sites.clone(),
        }
    }
}
