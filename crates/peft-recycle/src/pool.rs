//! A pool: many adapter folders of one base model, read site by site.
//!
//! Opening reads configurations and the headers of the tensor files, no values. Factors are read one site at a time, so that memory is bounded
//! by the factors of one site, however many members there are; no file stays open between reads.
//!
//! Ranks, alphas, rsLoRA and the patterns of single modules may differ: the update is `s B A` with the member's own scale `s` at that site,
//! and `s` is multiplied into B. (The published code forgets it, which mixes adapters of different alpha in wrong proportions.)

mod agree;
mod member;
mod names;

use std::path::Path;

use faer::Mat;
use indexmap::IndexMap;
use peft_format::Factors;

use crate::error::{MemberFault, MemberProblem, RecycleError};

pub use agree::Bases;
pub(crate) use agree::last_part;
pub use member::Member;
use names::natural;

/// What becomes of the scale `s` of a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Folding {
    /// B is read as `s B`.
    #[default]
    IntoB,
    /// B is read as it is in the file, to compare with code that forgets the scale.
    None,
}

/// A site of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSite {
    /// Input width.
    pub d_in: usize,
    /// Output width.
    pub d_out: usize,
    /// Which members have the site, in rising order.
    pub members: Vec<usize>,
}

/// The factors of all members at one site.
#[derive(Debug, Clone)]
pub struct SiteFactors {
    /// Which member each pair belongs to.
    pub members: Vec<usize>,
    /// `A^T` of each, `[d_in, r]`.
    pub a: Vec<Mat<f64>>,
    /// `B` of each, `[d_out, r]`, with the scale if it is folded.
    pub b: Vec<Mat<f64>>,
}

/// Adapters of one base model.
#[derive(Debug)]
pub struct Pool {
    members: Vec<Member>,
    sites: IndexMap<String, PoolSite>,
    folding: Folding,
}

impl Pool {
    /// Opens adapter folders.
    ///
    /// Names of members are those of their folders, with those of the folders above where that is needed to tell them apart. Bases are the
    /// same if the last parts of their names are (`FacebookAI/roberta-base` and `roberta-base`); a member that names no base is believed.
    ///
    /// # Errors
    /// [`RecycleError::Members`] with everything that is wrong with any folder, or [`RecycleError::Empty`].
    pub fn open<P: AsRef<Path>>(folders: &[P]) -> Result<Self, RecycleError> {
        Self::open_by(folders, Bases::Named)
    }

    /// As [`Self::open`], with another rule for what is one base.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_by<P: AsRef<Path>>(folders: &[P], bases: Bases) -> Result<Self, RecycleError> {
        let (pool, problems) = Self::open_skipping_by(folders, bases)?;
        if problems.is_empty() {
            Ok(pool)
        } else {
            Err(RecycleError::Members { problems })
        }
    }

    /// Opens adapter folders, and leaves out those that cannot be used; why, is returned beside the pool. Where members disagree (about the
    /// base, about the dimensions of a site), the majority is right, and among equals the first.
    ///
    /// # Errors
    /// [`RecycleError::Empty`] when none is left.
    pub fn open_skipping<P: AsRef<Path>>(
        folders: &[P],
    ) -> Result<(Self, Vec<MemberProblem>), RecycleError> {
        Self::open_skipping_by(folders, Bases::Named)
    }

    /// As [`Self::open_skipping`], with another rule for what is one base.
    ///
    /// # Errors
    /// As [`Self::open_skipping`].
    pub fn open_skipping_by<P: AsRef<Path>>(
        folders: &[P],
        bases: Bases,
    ) -> Result<(Self, Vec<MemberProblem>), RecycleError> {
        let mut members = Vec::new();
        let mut problems = Vec::new();
        for (folder, name) in folders
            .iter()
            .map(AsRef::as_ref)
            .zip(names::unique(folders))
        {
            let opened = name
                .ok_or(MemberFault::Twice)
                .and_then(|name| Ok(Member::open(folder, name)?));
            match opened {
                Ok(member) => members.push(member),
                Err(fault) => problems.push(MemberProblem {
                    folder: folder.to_owned(),
                    fault,
                }),
            }
        }
        let (members, disagreeing) = agree::agreeing(members, bases);
        problems.extend(disagreeing);
        if members.is_empty() {
            let given = folders.len();
            return Err(RecycleError::Empty { given, problems });
        }
        Ok((Self::of(members, Folding::default()), problems))
    }

    fn of(members: Vec<Member>, folding: Folding) -> Self {
        let mut sites: IndexMap<String, PoolSite> = IndexMap::new();
        for (index, member) in members.iter().enumerate() {
            for (path, site) in member.sites() {
                let entry = sites.entry(path.clone()).or_insert_with(|| PoolSite {
                    d_in: site.d_in,
                    d_out: site.d_out,
                    members: Vec::new(),
                });
                entry.members.push(index);
            }
        }
        sites.sort_by_cached_key(|path, _| natural(path));
        Self {
            members,
            sites,
            folding,
        }
    }

    /// The same pool with another treatment of scales.
    #[must_use]
    pub fn with_folding(self, folding: Folding) -> Self {
        Self { folding, ..self }
    }

    /// The same pool, whose base is called `name` in what is made of it.
    #[must_use]
    pub fn with_base(mut self, name: &str) -> Self {
        for member in &mut self.members {
            member.set_base(name);
        }
        self
    }

    /// What becomes of scales.
    #[must_use]
    pub fn folding(&self) -> Folding {
        self.folding
    }

    /// The members, in the order in which they were given.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Every site that some member has, layers in the order of their numbers.
    #[must_use]
    pub fn sites(&self) -> &IndexMap<String, PoolSite> {
        &self.sites
    }

    /// The base model, as the first member that names one calls it.
    #[must_use]
    pub fn base_model(&self) -> Option<&str> {
        self.members
            .iter()
            .find_map(|member| member.config().base_model_name_or_path.as_deref())
    }

    /// Every name that members give their base, of those with one last part the first.
    #[must_use]
    pub fn base_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for member in &self.members {
            let name = member.config().base_model_name_or_path.as_deref();
            let is_new = |name: &&str| {
                names
                    .iter()
                    .all(|known| last_part(known) != last_part(name))
            };
            names.extend(name.filter(is_new));
        }
        names
    }

    /// Reads the factors of one member at one site; `None` if the member does not have it.
    ///
    /// # Errors
    /// [`MemberProblem`] when they cannot be read or are not finite.
    pub fn factors(&self, member: usize, site: &str) -> Result<Option<Factors>, MemberProblem> {
        let member = &self.members[member];
        member
            .factors(site, self.folding)
            .map_err(|fault| MemberProblem {
                folder: member.folder().to_owned(),
                fault: fault.into(),
            })
    }

    /// Reads the factors of all members at one site, and nothing else.
    ///
    /// # Errors
    /// [`RecycleError::NoSite`], or [`RecycleError::Members`] with every member whose factors cannot be read or are not finite.
    pub fn site(&self, path: &str) -> Result<SiteFactors, RecycleError> {
        let site = self.sites.get(path).ok_or_else(|| RecycleError::NoSite {
            site: path.to_owned(),
            place: "pool",
        })?;
        let (mut members, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
        let mut problems = Vec::new();
        for &member in &site.members {
            match self.factors(member, path) {
                Ok(None) => {}
                Ok(Some(factors)) => {
                    members.push(member);
                    a.push(factors.a);
                    b.push(factors.b);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(SiteFactors { members, a, b })
        } else {
            Err(RecycleError::Members { problems })
        }
    }

    /// Reads every factor once, and takes the members out whose factors cannot be read or are not finite; why, is returned.
    ///
    /// # Errors
    /// [`RecycleError::Empty`] when none is left.
    pub fn retain_readable(self) -> Result<(Self, Vec<MemberProblem>), RecycleError> {
        let given = self.members.len();
        let mut kept = Vec::new();
        let mut problems = Vec::new();
        for member in self.members {
            let fault = member
                .sites()
                .keys()
                .find_map(|site| member.factors(site, self.folding).err());
            match fault {
                None => kept.push(member),
                Some(fault) => problems.push(MemberProblem {
                    folder: member.folder().to_owned(),
                    fault: fault.into(),
                }),
            }
        }
        if kept.is_empty() {
            return Err(RecycleError::Empty { given, problems });
        }
        Ok((Self::of(kept, self.folding), problems))
    }
}
