//! Where components and first loadings come from: a basis, a seed, or the file of the adapter itself.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::TensorData;
use faer::Mat;
use indexmap::IndexMap;
use peft_core::file::PeftConfig;
use peft_core::options::{check_dropout, own_option};
use peft_core::{PeftError, Site, Slot, param_id};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{COUNTS, EIGENLORAX, EigenLoraX, LoadingsInit};
use crate::basis::{Basis, Projection};
use crate::error::RecycleError;
use crate::linalg::append_random;

/// Numbers of components of each site: of A and of B.
type Counts = IndexMap<String, (usize, usize)>;

/// Where components come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A seed: as many directions for every factor, as far as its size allows.
    Random { components: usize, seed: u64 },
    /// A basis, and what is to start from a projection.
    Basis {
        basis: Arc<Basis>,
        projected: Option<Arc<Projection>>,
    },
    /// The file that is being read: only their numbers are known, the values come.
    File { counts: Arc<Counts> },
}

/// Values of both components at a site.
pub(super) struct Components {
    /// `C_A [d_in, k_a]`.
    pub(super) a: TensorData,
    /// `C_B [k_b, d_out]`.
    pub(super) b: TensorData,
}

/// Values of both loadings at a site.
pub(super) struct Loadings {
    /// `L_A [k_a, rank]`.
    pub(super) a: TensorData,
    /// `L_B [rank, k_b]`.
    pub(super) b: TensorData,
}

fn bad(option: &str, problem: impl Into<String>) -> PeftError {
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
        let basis = open(folder)?;
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
                })
            }
            Some(folder) => Ok(Self::Basis {
                basis: Arc::new(open(folder)?),
                projected: None,
            }),
        }
    }

    /// Numbers of components at a site; `None` where there are none.
    pub(super) fn counts(&self, site: &Site) -> Option<(usize, usize)> {
        match self {
            Self::Random { components, .. } => {
                Some(((*components).min(site.d_in), (*components).min(site.d_out)))
            }
            Self::Basis { basis, .. } => basis.counts(&site.path),
            Self::File { counts } => counts.get(&site.path).copied(),
        }
    }

    /// Numbers of components of all sites that are listed.
    pub(super) fn all_counts(&self) -> Counts {
        match self {
            Self::Random { .. } => Counts::new(),
            Self::Basis { basis, .. } => basis.all_counts(),
            Self::File { counts } => counts.as_ref().clone(),
        }
    }

    /// The components at a site.
    pub(super) fn components(&self, site: &Site) -> Result<Components, PeftError> {
        let none = || {
            let problem =
                "the basis has no components for it; adapt layers that its adapters adapt";
            base(&site.path, problem.into())
        };
        let (k_a, k_b) = self.counts(site).ok_or_else(none)?;
        if k_a > site.d_in || k_b > site.d_out {
            let problem = format!(
                "{COUNTS} asks for {k_a} and {k_b} components, more than its sizes {} and {}",
                site.d_in, site.d_out
            );
            return Err(base(&site.path, problem));
        }
        match self {
            Self::Random { seed, .. } => {
                let mut rng = ChaCha8Rng::seed_from_u64(*seed ^ param_id(&site.path).val());
                let (mut a, mut b) = (Mat::zeros(site.d_in, 0), Mat::zeros(site.d_out, 0));
                append_random(&mut a, k_a, &mut rng);
                append_random(&mut b, k_b, &mut rng);
                Ok(Components {
                    a: data(&a),
                    b: data(&b.transpose().to_owned()),
                })
            }
            Self::File { .. } => Ok(Components {
                a: TensorData::new(vec![0.0f32; site.d_in * k_a], [site.d_in, k_a]),
                b: TensorData::new(vec![0.0f32; k_b * site.d_out], [k_b, site.d_out]),
            }),
            Self::Basis { basis, .. } => {
                let [a, b] = basis
                    .components(&site.path)
                    .map_err(|error| at(&site.path, &error))?;
                if (a.nrows(), b.nrows()) != (site.d_in, site.d_out) {
                    return Err(base(
                        &site.path,
                        format!(
                            "the basis was made for a layer of {} x {}, this one is {} x {}",
                            a.nrows(),
                            b.nrows(),
                            site.d_in,
                            site.d_out
                        ),
                    ));
                }
                Ok(Components {
                    a: data(&a),
                    b: data(&b.transpose().to_owned()),
                })
            }
        }
    }

    /// What the loadings at a site start as.
    pub(super) fn loadings(
        &self,
        options: &EigenLoraX,
        slot: &Slot<'_>,
        (k_a, k_b): (usize, usize),
    ) -> Result<Loadings, PeftError> {
        let (path, rank) = (slot.site.path.as_str(), slot.rank);
        let mut rng = slot.rng();
        let mut drawn = |bound: f64, k: usize| uniform(bound, [k, rank], &mut rng);
        match (options.init, self) {
            // Where a file is read its values follow.
            (_, Self::File { .. }) | (LoadingsInit::ZeroB, _) => {
                let a = drawn(1.0 / (slot.site.d_in as f64).sqrt(), k_a);
                Ok(Loadings::of(&a, &Mat::zeros(k_b, rank)))
            }
            (LoadingsInit::Uniform, _) => {
                let a = drawn(0.5, k_a);
                Ok(Loadings::of(&a, &drawn(0.5, k_b)))
            }
            (LoadingsInit::Mean, Self::Basis { basis, .. }) => {
                let mean = basis.mean_loadings(path, rank);
                let none = || format!("no adapter of the basis has rank {rank} there");
                let [a, b] = mean
                    .map_err(|error| at(path, &error))?
                    .ok_or_else(|| base(path, none()))?;
                Ok(Loadings::of(&a, &b))
            }
            (LoadingsInit::Project, Self::Basis { projected, .. }) => match projected {
                Some(projected) => Loadings::projected(projected, path, rank),
                // A folder is being read: its values follow.
                None => Ok(Loadings::of(&Mat::zeros(k_a, rank), &Mat::zeros(k_b, rank))),
            },
            (LoadingsInit::Mean | LoadingsInit::Project, Self::Random { .. }) => {
                Err(bad("init", "mean and project need a basis"))
            }
        }
    }
}

impl Loadings {
    /// Of `L_A [k_a, rank]` and `L_B [k_b, rank]`, as a basis has them.
    fn of(a: &Mat<f64>, b: &Mat<f64>) -> Self {
        Self {
            a: data(a),
            b: data(&b.transpose().to_owned()),
        }
    }

    fn projected(projected: &Projection, path: &str, rank: usize) -> Result<Self, PeftError> {
        match projected.sites.get(path) {
            Some(found) if found.rank == rank => Ok(Self::of(&found.a, &found.b)),
            Some(found) => {
                let problem = format!(
                    "the adapter to start from has rank {} there, this one {rank}; give its rank",
                    found.rank
                );
                Err(base(path, problem))
            }
            None => Err(base(
                path,
                "the adapter to start from does not adapt it".into(),
            )),
        }
    }
}

/// Numbers from `U(-bound, bound)`.
fn uniform(bound: f64, [rows, columns]: [usize; 2], rng: &mut impl Rng) -> Mat<f64> {
    Mat::from_fn(rows, columns, |_, _| {
        (rng.random::<f64>() * 2.0 - 1.0) * bound
    })
}

fn base(site: &str, problem: String) -> PeftError {
    PeftError::Base {
        site: site.to_owned(),
        problem,
    }
}

fn at(site: &str, error: &RecycleError) -> PeftError {
    base(site, error.to_string())
}

fn open(folder: &Path) -> Result<Basis, PeftError> {
    let basis = Basis::open(folder).map_err(|error| bad("basis", error.to_string()))?;
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
fn data(matrix: &Mat<f64>) -> TensorData {
    let rows = matrix.row_iter();
    let values: Vec<f32> = rows
        .flat_map(|row| row.iter().map(|value| *value as f32))
        .collect();
    TensorData::new(values, [matrix.nrows(), matrix.ncols()])
}
