//! Where components come from: a basis, a seed, or the file of the adapter itself.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::TensorData;
use faer::Mat;
use indexmap::IndexMap;
use peft_core::options::{check_dropout, own_option};
use peft_core::{PeftError, Site};
use peft_format::file::PeftConfig;
use peft_format::name_number;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{COUNTS, EIGENLORAX, EigenLoraX, LoadingsInit};
use crate::basis::{Basis, Projection};
use crate::error::RecycleError;
use crate::options::Variant;
use crate::random::append_random;

/// Numbers of components of each site: of A and of B.
type Counts = IndexMap<String, (usize, usize)>;

/// Where components come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A seed: as many directions for every factor, as far as its size allows.
    Random {
        components: usize,
        seed: u64,
        variant: Variant,
    },
    /// A basis, and what is to start from a projection.
    Basis {
        basis: Arc<Basis>,
        projected: Option<Arc<Projection>>,
    },
    /// The file that is being read: only their numbers are known, the values come.
    File {
        counts: Arc<Counts>,
        variant: Variant,
    },
}

/// Values of both components at a site.
pub(super) struct Components {
    /// `C_A [d_in, k_a]`; of whole factors `[k_a, rank * d_in]`.
    pub(super) a: TensorData,
    /// `C_B [k_b, d_out]`; of whole factors `[k_b, rank * d_out]`.
    pub(super) b: TensorData,
}

pub(super) fn bad(option: &str, problem: impl Into<String>) -> PeftError {
    PeftError::Option {
        method: EIGENLORAX.id,
        option: option.into(),
        problem: problem.into(),
    }
}

impl Source {
    /// What the options of a new adapter ask for.
    pub(super) fn of_options(options: &EigenLoraX) -> Result<Self, PeftError> {
        check_dropout(EIGENLORAX.id, options.dropout)?;
        let wants = |init: LoadingsInit| options.init == init;
        if wants(LoadingsInit::Project) != options.project.is_some() {
            return Err(bad(
                "project",
                "give it together with init = project, and only then",
            ));
        }
        let Some(folder) = &options.basis else {
            if wants(LoadingsInit::Mean) || wants(LoadingsInit::Project) {
                return Err(bad("init", "mean and project need a basis"));
            }
            if options.components == 0 {
                return Err(bad("components", "expected at least 1, found 0"));
            }
            return Ok(Self::random(options));
        };
        let basis = open(folder, options)?;
        let project = |from: &std::path::PathBuf| {
            let projected = basis.project(from);
            projected.map_err(|error| bad("project", error.to_string()))
        };
        let projected = options.project.as_ref().map(project).transpose()?;
        Ok(Self::Basis {
            projected: projected.map(Arc::new),
            basis: Arc::new(basis),
        })
    }

    fn random(options: &EigenLoraX) -> Self {
        Self::Random {
            components: options.components,
            seed: options.components_seed,
            variant: options.variant.unwrap_or_default(),
        }
    }

    /// What an adapter folder needs: nothing, where it holds the components.
    pub(super) fn of_file(options: &EigenLoraX, config: &PeftConfig) -> Result<Self, PeftError> {
        match &options.basis {
            None if options.components == 0 => {
                Err(bad("components", "expected at least 1, found 0"))
            }
            None => Ok(Self::random(options)),
            Some(_) if options.save_components => {
                let counts: Counts = own_option(EIGENLORAX.id, config, COUNTS)?;
                Ok(Self::File {
                    counts: Arc::new(counts),
                    variant: options.variant.unwrap_or_default(),
                })
            }
            Some(folder) => Ok(Self::Basis {
                basis: Arc::new(open(folder, options)?),
                projected: None,
            }),
        }
    }

    /// What one component is.
    pub(super) fn variant(&self) -> Variant {
        match self {
            Self::Random { variant, .. } | Self::File { variant, .. } => *variant,
            Self::Basis { basis, .. } => basis.options().variant,
        }
    }

    /// Lengths of components of A and of B.
    fn heights(&self, site: &Site, rank: usize) -> (usize, usize) {
        match self.variant() {
            Variant::Columns => (site.d_in, site.d_out),
            Variant::Flat => (site.d_in * rank, site.d_out * rank),
        }
    }

    /// Numbers of components at a site; `None` where there are none.
    pub(super) fn counts(&self, site: &Site, rank: usize) -> Option<(usize, usize)> {
        match self {
            Self::Random { components, .. } => {
                let (a, b) = self.heights(site, rank);
                Some(((*components).min(a), (*components).min(b)))
            }
            Self::Basis { basis, .. } => basis.counts(&site.path),
            Self::File { counts, .. } => counts.get(&site.path).copied(),
        }
    }

    /// Numbers of components of all sites that are listed.
    pub(super) fn all_counts(&self) -> Counts {
        match self {
            Self::Random { .. } => Counts::new(),
            Self::Basis { basis, .. } => basis.all_counts(),
            Self::File { counts, .. } => counts.as_ref().clone(),
        }
    }

    /// The components at a site.
    pub(super) fn components(&self, site: &Site, rank: usize) -> Result<Components, PeftError> {
        let none = || {
            let problem =
                "the basis has no components for it; adapt layers that its adapters adapt";
            base(&site.path, problem.into())
        };
        let (k_a, k_b) = self.counts(site, rank).ok_or_else(none)?;
        let (height_a, height_b) = self.heights(site, rank);
        if k_a > height_a || k_b > height_b {
            let problem = format!(
                "{COUNTS} asks for {k_a} and {k_b} components, more than its sizes {height_a} and {height_b}"
            );
            return Err(base(&site.path, problem));
        }
        let [a, b] = match self {
            Self::Random { seed, .. } => {
                let mut rng = ChaCha8Rng::seed_from_u64(*seed ^ name_number(&site.path));
                let (mut a, mut b) = (Mat::zeros(height_a, 0), Mat::zeros(height_b, 0));
                append_random(&mut a, k_a, &mut rng);
                append_random(&mut b, k_b, &mut rng);
                [a, b]
            }
            Self::File { .. } => {
                return zeros(site, [(k_a, height_a), (k_b, height_b)], self.variant());
            }
            Self::Basis { basis, .. } => of_basis(basis, site, rank)?,
        };
        Ok(Components {
            a: data(&match self.variant() {
                Variant::Columns => a,
                Variant::Flat => a.transpose().to_owned(),
            }),
            b: data(&b.transpose().to_owned()),
        })
    }
}

/// Components that are about to be read. What a file claims of their number and rank does not decide an allocation beyond all reason.
fn zeros(
    site: &Site,
    [(k_a, height_a), (k_b, height_b)]: [(usize, usize); 2],
    variant: Variant,
) -> Result<Components, PeftError> {
    const MOST: usize = 1 << 28;
    let size = |k: usize, height: usize| k.checked_mul(height).filter(|size| *size <= MOST);
    let (Some(of_a), Some(of_b)) = (size(k_a, height_a), size(k_b, height_b)) else {
        let problem = format!(
            "{COUNTS} asks for {k_a} and {k_b} components of {height_a} and {height_b} numbers"
        );
        return Err(base(&site.path, problem));
    };
    let shape = match variant {
        Variant::Columns => [height_a, k_a],
        Variant::Flat => [k_a, height_a],
    };
    Ok(Components {
        a: TensorData::new(vec![0.0f32; of_a], shape),
        b: TensorData::new(vec![0.0f32; of_b], [k_b, height_b]),
    })
}

/// The directions of a basis at a site, which must have the sizes of the layer and, of whole factors, the rank.
fn of_basis(basis: &Basis, site: &Site, rank: usize) -> Result<[Mat<f64>; 2], PeftError> {
    if let Some(expected) = basis.rank(&site.path)
        && expected != rank
    {
        let problem = format!(
            "the basis is of whole factors of rank {expected}, this adapter has rank {rank} there; give --rank {expected}"
        );
        return Err(base(&site.path, problem));
    }
    let [a, b] = basis
        .components(&site.path)
        .map_err(|error| at(&site.path, &error))?;
    let times = basis.rank(&site.path).unwrap_or(1);
    let found = (a.nrows() / times, b.nrows() / times);
    if found != (site.d_in, site.d_out) {
        let problem = format!(
            "the basis was made for a layer of {} x {}, this one is {} x {}",
            found.0, found.1, site.d_in, site.d_out
        );
        return Err(base(&site.path, problem));
    }
    Ok([a, b])
}

pub(super) fn base(site: &str, problem: String) -> PeftError {
    PeftError::Base {
        site: site.to_owned(),
        problem,
    }
}

pub(super) fn at(site: &str, error: &RecycleError) -> PeftError {
    base(site, error.to_string())
}

fn open(folder: &Path, options: &EigenLoraX) -> Result<Basis, PeftError> {
    let basis = Basis::open(folder).map_err(|error| bad("basis", error.to_string()))?;
    let found = basis.options().variant;
    if options.variant.is_some_and(|asked| asked != found) {
        let (found, flag) = match found {
            Variant::Columns => ("columns", "with"),
            Variant::Flat => ("whole factors", "without"),
        };
        let problem = format!(
            "the basis is of {found}; leave the option out, or build a basis {flag} --flat"
        );
        return Err(bad("variant", problem));
    }
    basis
        .check_linear()
        .map_err(|error| bad("basis", error.to_string()))?;
    Ok(basis)
}

/// A matrix row by row, in single precision.
#[allow(
    clippy::cast_possible_truncation,
    reason = "parameters have single precision"
)]
pub(super) fn data(matrix: &Mat<f64>) -> TensorData {
    let rows = matrix.row_iter();
    let values: Vec<f32> = rows
        .flat_map(|row| row.iter().map(|value| *value as f32))
        .collect();
    TensorData::new(values, [matrix.nrows(), matrix.ncols()])
}
