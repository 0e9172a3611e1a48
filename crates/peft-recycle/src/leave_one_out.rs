//! How well a basis describes an adapter that it has not seen: each member in turn is left out and projected on the subspace of the others.
//!
//! In-sample errors fall to zero with enough components whatever the adapters are; these do not, and say whether there is anything to share.
//! For comparison: `k` random directions of `d` leave `sqrt(1 - k/d)` of a factor, and of a product `sqrt(1 - k_a k_b / (d_in d_out))`, in
//! expectation. Adapters that were trained from different random `A` are close to that.

use faer::Mat;
use rayon::prelude::*;

use crate::deviation::Errors;
use crate::error::{RecycleError, SubspaceError};
use crate::flat::{flatten, unflatten};
use crate::options::{Components, Mean, SubspaceOptions, Variant};
use crate::pool::{Pool, SiteFactors};
use crate::stack::Stack;
use crate::subspace::Subspace;

/// A member that was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Its name.
    pub name: String,
    /// Over all its sites that another member has too, for each number of components.
    pub errors: Vec<Errors>,
}

/// Errors of all members when left out.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaveOneOut {
    /// Numbers of principal components; where the others have a smaller rank, that is meant.
    pub components: Vec<usize>,
    /// The members that share a site with another.
    pub members: Vec<HeldOut>,
    /// Sites that one member alone has: nothing can be learnt of them, and they are left out of the errors.
    pub lonely_sites: Vec<String>,
}

impl LeaveOneOut {
    /// Mean of the members' relative errors of the product `B A`, for each number of components. Members whose product is zero (an untrained
    /// B) are left out; NaN where none is left.
    #[must_use]
    pub fn mean_product_error(&self) -> Vec<f64> {
        let mean = |at: usize| {
            let products = self.members.iter().map(|member| member.errors[at].product);
            let errors: Vec<f64> = products
                .filter(|product| product.squared_norm > 0.0)
                .map(|product| product.relative())
                .collect();
            errors.iter().sum::<f64>() / errors.len() as f64
        };
        (0..self.components.len()).map(mean).collect()
    }
}

/// Leaves out each member of a pool in turn.
///
/// # Errors
/// [`RecycleError::TooFew`] for fewer than two members or no common site, [`RecycleError::Members`] when factors cannot be read,
/// [`RecycleError::Rank`] in the flattened variant, [`RecycleError::Subspace`].
///
/// # Numerics
/// One decomposition per member, site and side; all numbers of components come from it.
pub fn leave_one_out(
    pool: &Pool,
    variant: Variant,
    mean: Mean,
    components: &[usize],
) -> Result<LeaveOneOut, RecycleError> {
    let count = pool.members().len();
    let mut errors = vec![vec![Errors::default(); components.len()]; count];
    let mut seen = vec![false; count];
    let mut lonely_sites = Vec::new();
    for path in pool.sites().keys() {
        let factors = pool.site(path)?;
        if factors.members.len() < 2 {
            lonely_sites.push(path.clone());
            continue;
        }
        check_ranks(pool, path, variant, &factors)?;
        let held: Vec<Result<Vec<Errors>, RecycleError>> = (0..factors.members.len())
            .into_par_iter()
            .map(|index| held_out(path, &factors, index, (variant, mean), components))
            .collect();
        for (&member, held) in factors.members.iter().zip(held) {
            seen[member] = true;
            for (sum, error) in errors[member].iter_mut().zip(held?) {
                *sum += error;
            }
        }
    }
    if !seen.contains(&true) {
        let found = 1.min(count);
        return Err(RecycleError::TooFew { expected: 2, found });
    }
    let members = pool.members().iter().zip(errors).zip(seen);
    Ok(LeaveOneOut {
        components: components.to_vec(),
        members: members
            .filter(|(_, seen)| *seen)
            .map(|((member, errors), _)| HeldOut {
                name: member.name().to_owned(),
                errors,
            })
            .collect(),
        lonely_sites,
    })
}

fn check_ranks(
    pool: &Pool,
    path: &str,
    variant: Variant,
    factors: &SiteFactors,
) -> Result<(), RecycleError> {
    let expected = factors.a[0].ncols();
    let other = factors.a.iter().position(|a| a.ncols() != expected);
    match other.filter(|_| variant == Variant::Flat) {
        None => Ok(()),
        Some(index) => Err(RecycleError::Rank {
            site: path.to_owned(),
            member: pool.members()[factors.members[index]].name().to_owned(),
            expected,
            found: factors.a[index].ncols(),
        }),
    }
}

/// Errors of one member at one site, for each number of components of the others.
fn held_out(
    path: &str,
    factors: &SiteFactors,
    index: usize,
    (variant, mean): (Variant, Mean),
    components: &[usize],
) -> Result<Vec<Errors>, RecycleError> {
    let back = |side: &'static str, of: &[Mat<f64>]| {
        reconstructions(of, index, (variant, mean), components).map_err(|source| {
            RecycleError::Subspace {
                site: path.to_owned(),
                side,
                source,
            }
        })
    };
    let (back_a, back_b) = (back("A", &factors.a)?, back("B", &factors.b)?);
    let own = (factors.a[index].as_ref(), factors.b[index].as_ref());
    Ok(back_a
        .iter()
        .zip(&back_b)
        .map(|(a, b)| Errors::between(own, (a.as_ref(), b.as_ref())))
        .collect())
}

/// What the subspaces of all factors but one make of that one.
fn reconstructions(
    factors: &[Mat<f64>],
    index: usize,
    (variant, mean): (Variant, Mean),
    components: &[usize],
) -> Result<Vec<Mat<f64>>, SubspaceError> {
    let vectors: Vec<Mat<f64>> = match variant {
        Variant::Columns => factors.to_vec(),
        Variant::Flat => factors.iter().map(|f| flatten(f.as_ref())).collect(),
    };
    let others = vectors.iter().enumerate().filter(|(at, _)| *at != index);
    let count = others.clone().map(|(_, vectors)| vectors.ncols()).sum();
    let mut stack = Stack::new(vectors[index].nrows(), count);
    for (_, vectors) in others {
        stack.push(vectors.as_ref())?;
    }
    let spectrum = stack.spectrum(mean.centres())?;
    components
        .iter()
        .map(|&k| {
            let options = SubspaceOptions {
                components: Components::Fixed(k),
                ..SubspaceOptions::fixed(k).with_mean(mean)
            };
            let subspace = Subspace::from_spectrum(&stack, &spectrum, &options)?;
            let loadings = subspace.project(vectors[index].as_ref());
            let back = subspace.reconstruct(loadings.as_ref());
            Ok(match variant {
                Variant::Columns => back,
                Variant::Flat => unflatten(
                    back.as_ref(),
                    factors[index].nrows(),
                    factors[index].ncols(),
                ),
            })
        })
        .collect()
}
