//! Which adapters are alike: the cosine of the angle between their updates `B A`, from small cores of the factors.

use peft_format::linalg::{beside, dot};
use rayon::prelude::*;

use crate::error::RecycleError;
use crate::pool::{Pool, SiteFactors};

/// Cosines of some members with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarityTable {
    /// Which members, as positions in [`Similarity::names`].
    pub members: Vec<usize>,
    /// `<P_i, P_j> / (||P_i|| ||P_j||)` with `P = s B A`, row by row; 0 where a product is zero.
    pub cosines: Vec<Vec<f64>>,
}

/// Cosines of the members of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Similarity {
    /// Names of the members.
    pub names: Vec<String>,
    /// Of the updates of all sites taken together; sites that one of two members lacks count as zero there.
    pub overall: SimilarityTable,
    /// Of the updates at each site, by its path.
    pub sites: Vec<(String, SimilarityTable)>,
}

/// Compares all members of a pool, site by site.
///
/// # Errors
/// [`RecycleError::Members`] when factors cannot be read.
///
/// # Numerics
/// `N^2 / 2` cores of `r^2 (d_in + d_out)` operations per site.
pub fn similarity(pool: &Pool) -> Result<Similarity, RecycleError> {
    let count = pool.members().len();
    let mut total = vec![vec![0.0; count]; count];
    let mut sites = Vec::with_capacity(pool.sites().len());
    for path in pool.sites().keys() {
        let factors = pool.site(path)?;
        let products = products(&factors);
        for (row, &i) in factors.members.iter().enumerate() {
            for (column, &j) in factors.members.iter().enumerate() {
                total[i][j] += products[row][column];
            }
        }
        let table = SimilarityTable {
            cosines: cosines(&products),
            members: factors.members,
        };
        sites.push((path.clone(), table));
    }
    let names = pool.members().iter().map(|member| member.name().to_owned());
    Ok(Similarity {
        names: names.collect(),
        overall: SimilarityTable {
            members: (0..count).collect(),
            cosines: cosines(&total),
        },
        sites,
    })
}

/// `<P_i, P_j> = sum((A_i^T A_j) o (B_i^T B_j))` of all pairs at one site: the cores of one member with all before it in one product.
fn products(factors: &SiteFactors) -> Vec<Vec<f64>> {
    let count = factors.members.len();
    let (a, b) = (beside(&factors.a), beside(&factors.b));
    let ends: Vec<usize> = (factors.a.iter())
        .scan(0, |end, a| {
            *end += a.ncols();
            Some(*end)
        })
        .collect();
    let below: Vec<Vec<f64>> = (0..count)
        .into_par_iter()
        .map(|i| {
            let left = factors.a[i].transpose() * a.subcols(0, ends[i]);
            let right = factors.b[i].transpose() * b.subcols(0, ends[i]);
            (0..=i)
                .map(|j| {
                    let rank = factors.a[j].ncols();
                    let start = ends[j] - rank;
                    dot(left.subcols(start, rank), right.subcols(start, rank))
                })
                .collect()
        })
        .collect();
    (0..count)
        .map(|i| (0..count).map(|j| below[i.max(j)][i.min(j)]).collect())
        .collect()
}

fn cosines(products: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let norms: Vec<f64> = (0..products.len())
        .map(|i| products[i][i].max(0.0).sqrt())
        .collect();
    let cosine = |i: usize, j: usize| {
        let norm = norms[i] * norms[j];
        if norm > 0.0 {
            (products[i][j] / norm).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    };
    (0..products.len())
        .map(|i| (0..products.len()).map(|j| cosine(i, j)).collect())
        .collect()
}
