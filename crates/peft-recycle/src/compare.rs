//! Two adapters, site by site: how alike their updates are, and the spaces that their factors span.
//!
//! ```text
//! cosine         <P, P'> / (||P|| ||P'||)     of the updates P = s B A and P' = s' B' A'
//! norm ratio     ||P'|| / ||P||
//! distance       ||P - P'|| / ||P||
//! angles of A    principal angles between the row spaces of A and A': the directions of the input that are read
//! angles of B    principal angles between the column spaces of B and B': the directions of the output that are written
//! ```
//!
//! The spaces are those of the factors and not of the update: an A whose B is still zero has a space all the same, which two adapters
//! trained from one seed begin with. Adapters of other ranks, scales and targets are compared as they are; magnitudes of DoRA and saved heads
//! are ignored. No product is formed.

use std::path::Path;

use faer::Mat;
use indexmap::IndexMap;
use peft_format::Factors;
use peft_format::decompose::Decomposed;
use peft_format::linalg::inner;

use crate::decompose::deviation;
use crate::deviation::Deviation;
use crate::error::{RecycleError, SubspaceError};
use crate::pool::{Pool, PoolSite};
use crate::subspace::principal_angles;

/// Two updates, at one site or over several.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Alike {
    /// `<P, P'>`.
    pub inner: f64,
    /// `||P'||^2`.
    pub squared_norm: f64,
    /// `||P - P'||^2` by `||P||^2`.
    pub difference: Deviation,
}

impl Alike {
    /// Cosine of the angle between the updates; 0 where one is zero.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        let norms = (self.difference.squared_norm * self.squared_norm).sqrt();
        if norms > 0.0 {
            (self.inner / norms).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }

    /// Norm of the second update by that of the first: infinite where only the first is zero, NaN where both are.
    #[must_use]
    pub fn norm_ratio(&self) -> f64 {
        (self.squared_norm / self.difference.squared_norm).sqrt()
    }

    /// Norm of the difference by that of the first update.
    #[must_use]
    pub fn distance(&self) -> f64 {
        self.difference.relative()
    }

    fn add(&mut self, other: &Self) {
        self.inner += other.inner;
        self.squared_norm += other.squared_norm;
        self.difference += other.difference;
    }
}

/// A site that both adapters have in the same dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedSite {
    /// Rank of each.
    pub ranks: [usize; 2],
    /// The updates.
    pub alike: Alike,
    /// Principal angles of the row spaces of A in radians, in rising order, as many as the smaller space has dimensions.
    pub angles_a: Vec<f64>,
    /// The same of the column spaces of B; none where a B is zero.
    pub angles_b: Vec<f64>,
}

impl ComparedSite {
    /// Compares the factors of two adapters at the site `path`.
    ///
    /// # Errors
    /// [`RecycleError::Subspace`] for values that are not finite.
    ///
    /// # Panics
    /// When their dimensions disagree.
    pub fn between(path: &str, one: &Factors, other: &Factors) -> Result<Self, RecycleError> {
        let angles = |side: &'static str, one: &Mat<f64>, other: &Mat<f64>| {
            angles(one, other).map_err(|source| RecycleError::Subspace {
                site: path.to_owned(),
                side,
                source,
            })
        };
        Ok(Self {
            ranks: [one.a.ncols(), other.a.ncols()],
            alike: alike(one, other),
            angles_a: angles("A", &one.a, &other.a)?,
            angles_b: angles("B", &one.b, &other.b)?,
        })
    }
}

/// A site that both adapters have in different dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherWidth {
    /// Its path.
    pub site: String,
    /// `(d_in, d_out)` of each.
    pub widths: [(usize, usize); 2],
}

/// Two adapters beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The base model of each, where it is named.
    pub bases: [Option<String>; 2],
    /// Sites of both.
    pub sites: IndexMap<String, ComparedSite>,
    /// Paths of the sites that only the first has, and that only the second has.
    pub alone: [Vec<String>; 2],
    /// Sites whose dimensions disagree.
    pub other_widths: Vec<OtherWidth>,
    /// Of the updates of all sites taken together: a site that one lacks counts as zero there, sites whose dimensions disagree do not count.
    pub overall: Alike,
}

/// Compares two adapter folders. What they disagree about is part of the result; nothing of it is an error.
///
/// # Errors
/// [`RecycleError::Members`] when a folder cannot be read, [`RecycleError::Subspace`].
pub fn compare(one: &Path, other: &Path) -> Result<Comparison, RecycleError> {
    let pools = [Pool::open(&[one])?, Pool::open(&[other])?];
    let mut comparison = Comparison {
        bases: pools
            .each_ref()
            .map(|pool| pool.base_model().map(str::to_owned)),
        sites: IndexMap::new(),
        alone: [Vec::new(), Vec::new()],
        other_widths: Vec::new(),
        overall: Alike::default(),
    };
    for (path, site) in pools[0].sites() {
        let left = read(&pools[0], path)?;
        match pools[1].sites().get(path) {
            None => comparison.add_alone(path, 0, &left),
            Some(second) if width(site) != width(second) => {
                comparison.other_widths.push(OtherWidth {
                    site: path.clone(),
                    widths: [width(site), width(second)],
                });
            }
            Some(_) => {
                let site = ComparedSite::between(path, &left, &read(&pools[1], path)?)?;
                comparison.overall.add(&site.alike);
                comparison.sites.insert(path.clone(), site);
            }
        }
    }
    for path in pools[1].sites().keys() {
        if !pools[0].sites().contains_key(path) {
            comparison.add_alone(path, 1, &read(&pools[1], path)?);
        }
    }
    Ok(comparison)
}

impl Comparison {
    /// Counts a site that only one of the two has.
    fn add_alone(&mut self, path: &str, which: usize, factors: &Factors) {
        let nothing = Factors {
            a: Mat::zeros(factors.a.nrows(), 0),
            b: Mat::zeros(factors.b.nrows(), 0),
        };
        let pair = if which == 0 {
            [factors, &nothing]
        } else {
            [&nothing, factors]
        };
        self.overall.add(&alike(pair[0], pair[1]));
        self.alone[which].push(path.to_owned());
    }
}

fn width(site: &PoolSite) -> (usize, usize) {
    (site.d_in, site.d_out)
}

fn read(pool: &Pool, path: &str) -> Result<Factors, RecycleError> {
    let factors = pool
        .factors(0, path)
        .map_err(|problem| RecycleError::Members {
            problems: vec![problem],
        })?;
    factors.ok_or_else(|| RecycleError::NoSite {
        site: path.to_owned(),
        place: "adapter",
    })
}

fn alike(one: &Factors, other: &Factors) -> Alike {
    let [left, right] = [one, other].map(|factors| (factors.a.as_ref(), factors.b.as_ref()));
    Alike {
        inner: inner(left, right),
        squared_norm: inner(right, right).max(0.0),
        difference: deviation(one, other),
    }
}

/// Principal angles between the spans of columns, which need not be independent.
fn angles(one: &Mat<f64>, other: &Mat<f64>) -> Result<Vec<f64>, SubspaceError> {
    let one = Decomposed::of_dense(one.as_ref())?.u;
    let other = Decomposed::of_dense(other.as_ref())?.u;
    principal_angles(one.as_ref(), other.as_ref()).ok_or(SubspaceError::NoConvergence)
}
