//! Making a basis of a pool: site by site, in two passes over the factors of a site.

use std::collections::BTreeMap;
use std::path::Path;

use faer::Mat;
use indexmap::IndexMap;
use peft_format::Factors;
use peft_format::file::{FileError, HostTensor, Staged, disk, encode_tensors, write_tensors};
use peft_format::name_number;
use rayon::prelude::*;

use super::coordinates::{Coordinates, Directions, single};
use super::export::plain_config;
use super::files::{
    COMPONENTS, LOADINGS, component_key, loadings_key, loadings_path, mean_key, to_tensor,
};
use super::manifest::{Manifest, MemberEntry, MemberSiteEntry, Side, SideEntry, SiteEntry};
use crate::error::RecycleError;
use crate::options::{BasisOptions, Variant};
use crate::pool::{Pool, PoolSite};
use crate::stack::Stack;
use crate::subspace::Subspace;

/// Files that are written before they get their names together.
const BATCH: usize = 64;
/// Factors of a site that are held between the two passes, in numbers (64 MiB); those of a larger site are read again.
const HELD: usize = 8 << 20;

/// One site of the new basis.
struct Built {
    entry: SiteEntry,
    directions: [Directions; 2],
    /// Coordinates of each member that has the site.
    members: Vec<(usize, Coordinates)>,
}

/// Writes a basis of all members into a folder that is claimed.
pub(super) fn build(pool: &Pool, options: &BasisOptions, out: &Path) -> Result<(), RecycleError> {
    let sites: Vec<(&String, &PoolSite)> = pool.sites().iter().collect();
    let sites: Vec<Result<Built, RecycleError>> = sites
        .into_par_iter()
        .map(|(path, site)| build_site(pool, path, site, options))
        .collect();
    let sites = all_or_every_problem(sites)?;
    let mut manifest = Manifest::new(*options, pool.folding(), pool.base_model());
    for member in pool.members() {
        let entry = MemberEntry {
            source_bytes: member.bytes(),
            config: plain_config(member),
            sites: IndexMap::new(),
        };
        manifest.members.insert(member.name().to_owned(), entry);
    }
    let mut components = BTreeMap::new();
    let mut loadings = vec![BTreeMap::new(); pool.members().len()];
    for (path, built) in pool.sites().keys().zip(sites) {
        for (side, directions) in Side::BOTH.into_iter().zip(&built.directions) {
            components.extend(tensors_of(path, side, directions));
        }
        for (index, coordinates) in built.members {
            let member = &pool.members()[index];
            let entry = MemberSiteEntry {
                rank: coordinates.rank,
                scale: manifest.scale_left(member.sites()[path].scale),
                errors: coordinates.errors,
            };
            loadings[index].extend(loadings_of(path, &coordinates));
            manifest.members[index].sites.insert(path.clone(), entry);
        }
        manifest.sites.insert(path.clone(), built.entry);
    }
    let folder = out.join(LOADINGS);
    disk::create_dir_all(&folder).map_err(|source| FileError::Io {
        action: "create",
        path: folder,
        source,
    })?;
    write_tensors(&out.join(COMPONENTS), &components)?;
    write_loadings(pool, loadings, out)?;
    manifest.write(out)
}

/// Every site, or the problems of members at all sites together, each member once.
fn all_or_every_problem(
    sites: Vec<Result<Built, RecycleError>>,
) -> Result<Vec<Built>, RecycleError> {
    let mut built = Vec::with_capacity(sites.len());
    let mut problems = Vec::new();
    for site in sites {
        match site {
            Ok(site) => built.push(site),
            Err(RecycleError::Members { problems: more }) => problems.extend(more),
            Err(error) => return Err(error),
        }
    }
    if problems.is_empty() {
        return Ok(built);
    }
    let mut named: Vec<std::path::PathBuf> = Vec::new();
    problems.retain(|problem| {
        let is_new = !named.contains(&problem.folder);
        named.push(problem.folder.clone());
        is_new
    });
    Err(RecycleError::Members { problems })
}

fn build_site(
    pool: &Pool,
    path: &str,
    site: &PoolSite,
    options: &BasisOptions,
) -> Result<Built, RecycleError> {
    let rank = match options.variant {
        Variant::Columns => None,
        Variant::Flat => Some(one_rank(pool, path, site)?),
    };
    let mut held = (size(pool, path, site) <= HELD).then(Vec::new);
    let (a, b) = subspaces(pool, path, site, rank, options, held.as_mut())?;
    let directions = [&a, &b].map(|subspace| Directions {
        components: single(&subspace.components().to_owned()),
        mean: subspace.mean().map(|mean| single(&mean.to_owned())),
    });
    let mut members = Vec::with_capacity(site.members.len());
    let mut describe = |member, factors: &Factors| {
        let [a, b] = &directions;
        let coordinates = Coordinates::of(factors, options.variant, [a, b]);
        members.push((member, coordinates));
        Ok(())
    };
    match held {
        Some(held) => (held.iter()).try_for_each(|(member, factors)| describe(*member, factors))?,
        None => each(pool, path, site, |member, factors| {
            describe(member, &factors)
        })?,
    }
    let entry = SiteEntry {
        d_in: site.d_in,
        d_out: site.d_out,
        rank,
        a: side_entry(&a),
        b: side_entry(&b),
    };
    Ok(Built {
        entry,
        directions,
        members,
    })
}

/// Numbers in the factors of all members at a site.
fn size(pool: &Pool, path: &str, site: &PoolSite) -> usize {
    let ranks = site.members.iter();
    let ranks: usize = ranks
        .map(|member| pool.members()[*member].sites()[path].rank)
        .sum();
    ranks * (site.d_in + site.d_out)
}

/// The subspaces of both factors of all members at a site, which are kept in `held`.
fn subspaces(
    pool: &Pool,
    path: &str,
    site: &PoolSite,
    rank: Option<usize>,
    options: &BasisOptions,
    mut held: Option<&mut Vec<(usize, Factors)>>,
) -> Result<(Subspace, Subspace), RecycleError> {
    let ranks = |member: &usize| pool.members()[*member].sites()[path].rank;
    let columns = match options.variant {
        Variant::Columns => site.members.iter().map(ranks).sum(),
        Variant::Flat => site.members.len(),
    };
    let height = |d: usize| d * rank.unwrap_or(1);
    let mut a = Stack::new(height(site.d_in), columns);
    let mut b = Stack::new(height(site.d_out), columns);
    let failed = |side: Side| {
        move |source| RecycleError::Subspace {
            site: path.to_owned(),
            side: side.name(),
            source,
        }
    };
    each(pool, path, site, |member, factors| {
        let vectors = |factor| Directions::vectors(options.variant, factor);
        a.push(Mat::as_ref(&vectors(&factors.a)))
            .map_err(failed(Side::A))?;
        b.push(Mat::as_ref(&vectors(&factors.b)))
            .map_err(failed(Side::B))?;
        if let Some(held) = &mut held {
            held.push((member, factors));
        }
        Ok(())
    })?;
    let subspace = |stack: Stack, side: Side| {
        let seed = name_number(&component_key(path, side));
        Subspace::of(&stack, &options.subspace(options.seed ^ seed)).map_err(failed(side))
    };
    Ok((subspace(a, Side::A)?, subspace(b, Side::B)?))
}

/// Reads the factors of every member at a site, one after the other; the problems of all members in one error.
fn each(
    pool: &Pool,
    path: &str,
    site: &PoolSite,
    mut take: impl FnMut(usize, Factors) -> Result<(), RecycleError>,
) -> Result<(), RecycleError> {
    let mut problems = Vec::new();
    for &member in &site.members {
        match pool.factors(member, path) {
            Ok(None) => {}
            Ok(Some(factors)) => take(member, factors)?,
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(RecycleError::Members { problems })
    }
}

/// The rank that all members have at a site.
fn one_rank(pool: &Pool, path: &str, site: &PoolSite) -> Result<usize, RecycleError> {
    let mut expected = None;
    for &index in &site.members {
        let member = &pool.members()[index];
        let found = member.sites()[path].rank;
        let expected = *expected.get_or_insert(found);
        if found != expected {
            return Err(RecycleError::Rank {
                site: path.to_owned(),
                member: member.name().to_owned(),
                expected,
                found,
            });
        }
    }
    Ok(expected.unwrap_or(1))
}

fn side_entry(subspace: &Subspace) -> SideEntry {
    SideEntry {
        components: subspace.components().ncols(),
        pseudo: subspace.pseudo(),
        added: 0,
        singular_values: subspace.singular_values()[..subspace.principal()].to_vec(),
        total_variance: subspace.total_variance(),
    }
}

/// The tensors of one factor at one site in the file of components.
pub(super) fn tensors_of(
    path: &str,
    side: Side,
    directions: &Directions,
) -> Vec<(String, HostTensor)> {
    let components = to_tensor(directions.components.transpose());
    let mut tensors = vec![(component_key(path, side), components)];
    if let Some(mean) = &directions.mean {
        let mut tensor = to_tensor(mean.as_ref());
        tensor.shape.truncate(1);
        tensors.push((mean_key(path, side), tensor));
    }
    tensors
}

/// The tensors of an adapter at one site.
pub(super) fn loadings_of(path: &str, coordinates: &Coordinates) -> [(String, HostTensor); 2] {
    let tensor =
        |side: Side, loadings: &Mat<f64>| (loadings_key(path, side), to_tensor(loadings.as_ref()));
    [
        tensor(Side::A, &coordinates.a),
        tensor(Side::B, &coordinates.b),
    ]
}

/// Writes the coordinates of all members, a batch of files at a time.
fn write_loadings(
    pool: &Pool,
    loadings: Vec<BTreeMap<String, HostTensor>>,
    out: &Path,
) -> Result<(), RecycleError> {
    let mut work: Vec<_> = pool.members().iter().zip(loadings).collect();
    for batch in work.chunks_mut(BATCH) {
        let staged: Vec<Result<Staged, RecycleError>> = batch
            .par_iter_mut()
            .map(|(member, tensors)| {
                let folder = member.folder().to_owned();
                let carried = member
                    .carried()
                    .map_err(|fault| RecycleError::member(folder, fault))?;
                tensors.extend(carried);
                let path = loadings_path(out, member.name());
                let bytes = encode_tensors(&path, tensors)?;
                Ok(Staged::new(&path, |file| file.write(&bytes))?)
            })
            .collect();
        Staged::commit_all(staged.into_iter().collect::<Result<Vec<_>, _>>()?)?;
    }
    Ok(())
}
