//! What a basis costs and how exact it is.

use std::fs;

use peft_format::file::FileError;

use super::Basis;
use super::files::{COMPONENTS, loadings_path};
use super::manifest::{MANIFEST, Side, SideEntry, SiteEntry};
use crate::deviation::Errors;
use crate::error::RecycleError;
use crate::options::BasisOptions;

/// The directions of one factor at one site.
#[derive(Debug, Clone, PartialEq)]
pub struct SideInfo {
    /// How many in all.
    pub components: usize,
    /// How many are principal components.
    pub principal: usize,
    /// How many are random.
    pub pseudo: usize,
    /// How many were added for adapters that joined later.
    pub added: usize,
    /// Singular values of the principal components.
    pub singular_values: Vec<f64>,
    /// Share of the variance that the principal components explain together; 1 where there is none.
    pub explained: f64,
}

/// One site of a basis.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteInfo {
    /// Its path.
    pub path: String,
    /// Input width.
    pub d_in: usize,
    /// Output width.
    pub d_out: usize,
    /// Directions of A.
    pub a: SideInfo,
    /// Directions of B.
    pub b: SideInfo,
    /// Of all members that have it.
    pub errors: Errors,
}

/// One adapter of a basis.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberInfo {
    /// Its name.
    pub name: String,
    /// Bytes of the folder that it came from.
    pub source_bytes: u64,
    /// Bytes of its coordinates, with its head and magnitudes.
    pub loadings_bytes: u64,
    /// Smallest and largest rank of its sites.
    pub ranks: (usize, usize),
    /// Over all its sites.
    pub errors: Errors,
}

/// A basis in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct BasisInfo {
    /// How it was made.
    pub options: BasisOptions,
    /// Its sites.
    pub sites: Vec<SiteInfo>,
    /// Its members.
    pub members: Vec<MemberInfo>,
    /// Bytes of `basis.json` and of the components.
    pub shared_bytes: u64,
    /// Numbers in the factors of all members as they were: the sum of `r (d_in + d_out)`.
    pub source_numbers: usize,
    /// Numbers in the components: the sum of `k_a d_in + k_b d_out`, and the means where they are stored.
    pub component_numbers: usize,
    /// Numbers in the coordinates of all members: the sum of `(k_a + k_b) r`.
    pub loading_numbers: usize,
    /// Over all sites and members.
    pub errors: Errors,
}

impl BasisInfo {
    /// Bytes of the folders that the adapters came from.
    #[must_use]
    pub fn source_bytes(&self) -> u64 {
        self.members.iter().map(|member| member.source_bytes).sum()
    }

    /// Bytes of all coordinates, with heads and magnitudes.
    #[must_use]
    pub fn loadings_bytes(&self) -> u64 {
        self.members
            .iter()
            .map(|member| member.loadings_bytes)
            .sum()
    }

    /// Bytes before by bytes after, everything counted; below 1 the basis is larger than the adapters.
    #[must_use]
    pub fn compression(&self) -> f64 {
        self.source_bytes() as f64 / (self.shared_bytes + self.loadings_bytes()) as f64
    }

    /// Numbers of factors before by numbers after: `N r d / (K d + N K r)`, without heads and without the overhead of files.
    #[must_use]
    pub fn factor_compression(&self) -> f64 {
        self.source_numbers as f64 / (self.component_numbers + self.loading_numbers) as f64
    }
}

impl Basis {
    /// Sizes and errors. The errors are those of the members when they joined, on the folders that they came from: how exact the basis is
    /// for adapters that it has seen. For others see [`Basis::project`] and [`crate::leave_one_out`].
    ///
    /// # Errors
    /// [`RecycleError::File`] when the size of a file cannot be read.
    pub fn info(&self) -> Result<BasisInfo, RecycleError> {
        let manifest = &self.manifest;
        let mut info = BasisInfo {
            options: manifest.options,
            sites: manifest.sites.iter().map(site_info).collect(),
            members: Vec::new(),
            shared_bytes: self.size(MANIFEST)? + self.size(COMPONENTS)?,
            source_numbers: 0,
            component_numbers: 0,
            loading_numbers: 0,
            errors: Errors::default(),
        };
        let stored = usize::from(manifest.options.mean == crate::Mean::Stored);
        for site in manifest.sites.values() {
            info.component_numbers += Side::BOTH
                .map(|side| manifest.height(site, side) * (side.of(site).components + stored))
                .iter()
                .sum::<usize>();
        }
        for (name, member) in &manifest.members {
            let mut errors = Errors::default();
            for (path, entry) in &member.sites {
                let (index, _, site) = manifest
                    .sites
                    .get_full(path)
                    .ok_or_else(|| super::malformed(&self.folder, format!("no site `{path}`")))?;
                errors += entry.errors;
                info.sites[index].errors += entry.errors;
                info.source_numbers += entry.rank * (site.d_in + site.d_out);
                let width = site.rank.map_or(entry.rank, |_| 1);
                info.loading_numbers += width * (site.a.components + site.b.components);
            }
            info.errors += errors;
            let ranks = member.sites.values().map(|site| site.rank);
            info.members.push(MemberInfo {
                name: name.clone(),
                source_bytes: member.source_bytes,
                loadings_bytes: size(&loadings_path(&self.folder, name))?,
                ranks: (ranks.clone().min().unwrap_or(0), ranks.max().unwrap_or(0)),
                errors,
            });
        }
        Ok(info)
    }

    fn size(&self, file: &str) -> Result<u64, RecycleError> {
        size(&self.folder.join(file))
    }
}

fn size(path: &std::path::Path) -> Result<u64, RecycleError> {
    let metadata = fs::metadata(path).map_err(|source| FileError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok(metadata.len())
}

fn site_info((path, site): (&String, &SiteEntry)) -> SiteInfo {
    SiteInfo {
        path: path.clone(),
        d_in: site.d_in,
        d_out: site.d_out,
        a: side_info(&site.a),
        b: side_info(&site.b),
        errors: Errors::default(),
    }
}

fn side_info(side: &SideEntry) -> SideInfo {
    let kept: f64 = side.singular_values.iter().map(|value| value.powi(2)).sum();
    SideInfo {
        components: side.components,
        principal: side.singular_values.len(),
        pseudo: side.pseudo,
        added: side.added,
        singular_values: side.singular_values.clone(),
        explained: if side.total_variance > 0.0 {
            kept / side.total_variance
        } else {
            1.0
        },
    }
}
