//! Adapters of one base with weights as one adapter: `W + sum_i w_i s_i B_i A_i`, or what PEFT makes of it.
//!
//! ```text
//! Cat          A = [A_1; ...; A_N], B = [w_1 s_1 B_1 | ... | w_N s_N B_N]             exact, of the sum of the ranks
//! Exact        Cat, reduced to the numerical rank of the sum                          exact
//! Svd          Exact, reduced to the strongest directions                             off by the dropped singular values
//! Factors(f)   A = f(A_i; sign(w_i s_i) sqrt(|w_i s_i|)), B = f(B_i; sqrt(|w_i s_i|))  approximate
//! Updates(f)   the strongest directions of f(s_i B_i A_i; w_i)                        approximate
//! ```
//!
//! The rules `f` are those of [`Arithmetic`]. `Factors` is what PEFT 0.21 does in `add_weighted_adapter` for `linear`, `ties`, `dare_linear`,
//! `dare_ties` and `magnitude_prune`: even its linear rule is no weighted sum, because the product holds `sqrt(w_i w_j) B_i A_j` for pairs of
//! different adapters. It is there to reproduce published combinations; the error in the report says what it costs. `Updates` is PEFT's
//! `ties_svd` and its like.
//!
//! Adapters may differ in rank, alpha, rsLoRA and targets (in `Factors`, in all but the rank): a site that one lacks counts as zero there.
//! Deviations from PEFT: the result never has rsLoRA, so that its scale is 1 (PEFT inherits the switch of the first adapter and with it a
//! scale of `sqrt(r)`); a single adapter is treated in the mode that was asked for and not as `linear`; saved heads are averaged or picked
//! (PEFT refuses them); `svd_clamp` does not exist.

mod arithmetic;
mod carried;
mod error;
mod site;

use std::path::Path;

use indexmap::IndexMap;
use peft_format::file::PeftConfig;

use crate::decompose::deviation;
use crate::deviation::Deviation;
use crate::error::RecycleError;
use crate::options::Components;
use crate::plain_lora::PlainLora;
use crate::pool::{Folding, Member, Pool};

pub use arithmetic::{Arithmetic, Majority, Merge, Prune};
pub use carried::Heads;
pub use error::CombineError;
use site::Part;

/// How adapters become one.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// The exact sum, of the sum of the ranks.
    Cat,
    /// The exact sum, of its numerical rank.
    Exact,
    /// The nearest update of a rank, or of a share of the sum of the squared singular values.
    Svd(Components),
    /// A rule on the factors, as PEFT has it; they must be of one rank.
    Factors(Arithmetic),
    /// A rule on the updates, which are formed one site at a time, and the nearest update of a rank to its result.
    Updates(Arithmetic, Components),
}

/// A site of a combination.
#[derive(Debug, Clone, PartialEq)]
pub struct CombinedSite {
    /// Rank of the pair.
    pub rank: usize,
    /// Names of the adapters that have the site.
    pub members: Vec<String>,
    /// Between the exact weighted sum and the product of the pair as it stands in the file.
    pub error: Deviation,
}

/// What was combined.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// Each site by its path.
    pub sites: IndexMap<String, CombinedSite>,
    /// Over all sites.
    pub error: Deviation,
    /// Keys of the tensors that are no factors.
    pub carried: Vec<String>,
}

/// Combines all adapters of a pool and writes the result to a folder that must be new or empty: a plain LoRA of scale 1.
///
/// `weights` has one number for each member of the pool, of any sign. The treatment of scales by the pool does not matter here.
///
/// # Errors
/// [`CombineError`]; nothing is written then.
///
/// # Numerics
/// In `f64`, rounded once to single precision. Memory is that of the factors of one site and of the result; with [`Mode::Updates`] also a
/// few dense updates of one site, of which each is decomposed in `d^3` operations.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::path::Path;
///
/// use peft_recycle::{Components, Heads, Mode, Pool, combine};
///
/// let pool = Pool::open(&["adapters/de", "adapters/fr"])?;
/// let mode = Mode::Svd(Components::Fixed(16));
/// let combined = combine(&pool, &[0.5, 0.5], mode, &Heads::Average, Path::new("both"))?;
/// println!("lost of the update: {:.2e}", combined.error.relative());
/// # Ok(())
/// # }
/// ```
pub fn combine(
    pool: &Pool,
    weights: &[f64],
    mode: Mode,
    heads: &Heads,
    out: &Path,
) -> Result<Combined, CombineError> {
    check(pool, weights, mode)?;
    let config = config(pool, carried::model(pool, heads)?);
    let mut lora = PlainLora::default();
    let mut sites = IndexMap::new();
    let mut total = Deviation::default();
    for path in pool.sites().keys() {
        let parts = parts(pool, weights, path)?;
        let exact = site::exact_sum(&parts);
        let failed = |source| CombineError::Site {
            site: path.clone(),
            source,
        };
        let pair = site::combined(&mode, path, &parts, &exact).map_err(failed)?;
        let written = lora.push(path, &pair).map_err(failed)?;
        let error = deviation(&exact, &written);
        total += error;
        let site = CombinedSite {
            rank: written.a.ncols(),
            members: parts.iter().map(|part| part.name.to_owned()).collect(),
            error,
        };
        sites.insert(path.clone(), site);
    }
    let carried = carried::carried(pool, weights, heads)?;
    let keys = carried.keys().cloned().collect();
    lora.carry(carried);
    lora.write(config, out).map_err(RecycleError::from)?;
    Ok(Combined {
        sites,
        error: total,
        carried: keys,
    })
}

/// Everything that can be said without reading factors.
fn check(pool: &Pool, weights: &[f64], mode: Mode) -> Result<(), CombineError> {
    let members = pool.members();
    if weights.len() != members.len() {
        return Err(CombineError::Weights {
            expected: members.len(),
            found: weights.len(),
        });
    }
    let broken = members.iter().zip(weights).find(|(_, w)| !w.is_finite());
    if let Some((member, &weight)) = broken {
        return Err(CombineError::Weight {
            name: member.name().to_owned(),
            weight,
        });
    }
    let dora = members.iter().filter(|member| member.config().use_dora);
    let names: Vec<String> = dora.map(|member| member.name().to_owned()).collect();
    if !names.is_empty() {
        return Err(CombineError::Dora { names });
    }
    match mode {
        Mode::Cat | Mode::Exact | Mode::Svd(_) => Ok(()),
        Mode::Updates(rule, _) => rule.check(),
        Mode::Factors(rule) => {
            rule.check()?;
            let mut sites = pool.sites().keys();
            sites.try_for_each(|path| one_rank(pool, path))
        }
    }
}

fn one_rank(pool: &Pool, path: &str) -> Result<(), CombineError> {
    let ranks: Vec<(String, usize)> = (pool.members().iter())
        .filter_map(|member| Some((member.name().to_owned(), member.sites().get(path)?.rank)))
        .collect();
    if ranks.iter().all(|(_, rank)| *rank == ranks[0].1) {
        Ok(())
    } else {
        Err(CombineError::Ranks {
            site: path.to_owned(),
            ranks,
        })
    }
}

fn parts<'a>(pool: &'a Pool, weights: &[f64], path: &str) -> Result<Vec<Part<'a>>, CombineError> {
    let mut parts = Vec::new();
    for (member, &weight) in pool.members().iter().zip(weights) {
        let fault = |fault| RecycleError::member(member.folder().to_owned(), fault);
        let (site, factors) = (
            member.sites().get(path),
            member.factors(path, Folding::None).map_err(fault)?,
        );
        if let (Some(site), Some(factors)) = (site, factors) {
            parts.push(Part {
                name: member.name(),
                weight,
                scale: site.scale,
                factors,
            });
        }
    }
    Ok(parts)
}

/// The configuration of one member, with the sites of all as the target unless all have one rule.
fn config(pool: &Pool, model: &Member) -> PeftConfig {
    let mut config = model.config().clone();
    config.base_model_name_or_path = pool.base_model().map(str::to_owned);
    let rules = config.target_rules();
    if (pool.members().iter()).any(|member| member.config().target_rules() != rules) {
        config.target = None;
    }
    config
}
