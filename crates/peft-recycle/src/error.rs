//! What can go wrong, and with which adapter of a pool.

use std::fmt;
use std::path::PathBuf;

use peft_format::causes;
use peft_format::decompose::DecomposeError;
use peft_format::file::FileError;
use peft_format::lora_folder::LoraFault;

/// Why columns have no subspace of the kind asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubspaceError {
    /// Columns of different height.
    #[error("expected columns of height {expected}, found {found}")]
    Height {
        /// Height of the others.
        expected: usize,
        /// Height of these.
        found: usize,
    },
    /// NaN or infinity.
    #[error("a column holds NaN or infinite values")]
    NotFinite,
    /// Factors that single precision cannot hold.
    #[error("a factor has values that are too large for single precision: give smaller weights")]
    TooLarge,
    /// A share of the variance that is none.
    #[error("expected a share of the variance from 0 to 1, found {found}")]
    Share {
        /// What was asked for.
        found: f64,
    },
    /// More orthogonal directions than the space has.
    #[error(
        "{asked} random directions were asked for beside {taken} components, but the space has {d} dimensions: ask for at most {}",
        d - taken
    )]
    Exhausted {
        /// Dimensions of the space.
        d: usize,
        /// Components that are there.
        taken: usize,
        /// Random directions that were asked for.
        asked: usize,
    },
    /// The decomposition did not end.
    #[error("the singular value decomposition does not converge")]
    NoConvergence,
    /// Components that are not orthonormal, which rounding alone does not do.
    #[error(
        "the components are not orthonormal: C^T C deviates from the identity by {deviation:e}"
    )]
    NotOrthonormal {
        /// Largest entry of `|C^T C - I|`.
        deviation: f64,
    },
}

impl From<DecomposeError> for SubspaceError {
    fn from(error: DecomposeError) -> Self {
        match error {
            DecomposeError::NotFinite => Self::NotFinite,
            _ => Self::NoConvergence,
        }
    }
}

/// Why a folder cannot be a member of a pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberFault {
    /// It is no folder of LoRA, rsLoRA or DoRA.
    #[error(transparent)]
    Lora(#[from] LoraFault),
    /// Another base model.
    #[error(
        "its base model is `{found}`, that of the pool is `{expected}`: only adapters of one base belong together, of whatever name \
         (Bases::ByLayers)"
    )]
    Base {
        /// Base of most members.
        expected: String,
        /// Base of this one.
        found: String,
    },
    /// Another base model, by its name and by its layers.
    #[error(
        "its base model is `{found}`, that of the others `{expected}`, and it has no layers in common with them, or some of another size"
    )]
    Layers {
        /// Base of most members.
        expected: String,
        /// Base of this one.
        found: String,
    },
    /// A site has other dimensions than in the rest of the pool.
    #[error(
        "site `{site}`: expected (d_in, d_out) = {expected:?} as in most of the pool, found {found:?}"
    )]
    Width {
        /// Path of the site.
        site: String,
        /// Dimensions in most members.
        expected: (usize, usize),
        /// Dimensions here.
        found: (usize, usize),
    },
    /// The same folder given twice.
    #[error("it is given twice")]
    Twice,
}

/// A folder and why it cannot be a member.
#[derive(Debug)]
pub struct MemberProblem {
    /// The folder, as it was given.
    pub folder: PathBuf,
    /// What is wrong.
    pub fault: MemberFault,
}

impl fmt::Display for MemberProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.folder.display(), causes(&self.fault))
    }
}

/// Why adapters cannot be recycled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecycleError {
    /// A basis in which loadings cannot be trained.
    #[error("the basis {} cannot be trained in: {problem}", folder.display())]
    NotLinear {
        /// Folder of the basis.
        folder: PathBuf,
        /// Why, and what to do.
        problem: &'static str,
    },
    /// Folders that cannot be members; every one of them.
    #[error("{} of the adapters cannot be used:\n  {}", problems.len(), lines(problems))]
    Members {
        /// Each folder and what is wrong with it.
        problems: Vec<MemberProblem>,
    },
    /// No folder, or none that can be used.
    #[error("no adapter to work with: {given} folders were given{}", if problems.is_empty() { String::new() } else { format!(" and none can be used:\n  {}", lines(problems)) })]
    Empty {
        /// How many were given.
        given: usize,
        /// What is wrong with each.
        problems: Vec<MemberProblem>,
    },
    /// Too few adapters for what was asked.
    #[error("expected at least {expected} adapters, found {found}")]
    TooFew {
        /// How many are needed.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A site that is not there.
    #[error("no site `{site}` in the {place}")]
    NoSite {
        /// Path of the site.
        site: String,
        /// Pool or basis.
        place: &'static str,
    },
    /// Sites of an adapter that a basis does not have.
    #[error("the basis has no components for {} of its sites: {}; build a basis with adapters that have them", sites.len(), sites.join(", "))]
    OtherSites {
        /// Paths of the sites.
        sites: Vec<String>,
    },
    /// Factors of different rank in the flattened variant.
    #[error(
        "site `{site}`: flattened factors must be of one rank, expected {expected}, found {found} in `{member}`: use columns"
    )]
    Rank {
        /// Path of the site.
        site: String,
        /// Name of the member.
        member: String,
        /// Rank of the others.
        expected: usize,
        /// Its rank.
        found: usize,
    },
    /// A subspace that cannot be made.
    #[error("site `{site}`, factor {side}")]
    Subspace {
        /// Path of the site.
        site: String,
        /// `A` or `B`.
        side: &'static str,
        /// What is wrong.
        #[source]
        source: SubspaceError,
    },
    /// No member of that name.
    #[error("no adapter `{name}` in the basis; it has: {}", known.join(", "))]
    NoMember {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A member of that name is there already.
    #[error("the basis has an adapter `{name}` already: remove it first, or rename the folder")]
    MemberExists {
        /// The name.
        name: String,
    },
    /// The folder is no basis.
    #[error("{}: no basis: {message}", path.display())]
    Malformed {
        /// The folder or a file in it.
        path: PathBuf,
        /// Expected and found.
        message: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl RecycleError {
    pub(crate) fn member(folder: PathBuf, fault: impl Into<MemberFault>) -> Self {
        let fault = fault.into();
        Self::Members {
            problems: vec![MemberProblem { folder, fault }],
        }
    }
}

fn lines(problems: &[MemberProblem]) -> String {
    problems
        .iter()
        .map(MemberProblem::to_string)
        .collect::<Vec<_>>()
        .join("\n  ")
}
