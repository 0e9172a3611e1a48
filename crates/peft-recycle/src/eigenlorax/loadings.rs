//! What loadings start as.

use burn::tensor::TensorData;
use faer::Mat;
use peft_core::{PeftError, Slot};
use rand::{Rng, RngExt};

use super::source::{Source, at, bad, base, data};
use super::{EigenLoraX, LoadingsInit};
use crate::basis::Projection;
use crate::options::Variant;

/// Values of both loadings at a site.
pub(super) struct Loadings {
    /// `L_A [k_a, rank]`; of whole factors `[1, k_a]`.
    pub(super) a: TensorData,
    /// `L_B [rank, k_b]`; of whole factors `[1, k_b]`.
    pub(super) b: TensorData,
}

impl Source {
    /// What the loadings at a site start as.
    pub(super) fn loadings(
        &self,
        options: &EigenLoraX,
        slot: &Slot<'_>,
    ) -> Result<Loadings, PeftError> {
        let (path, rank) = (slot.site.path.as_str(), slot.rank);
        let (k_a, k_b) = self.counts(slot.site, rank).unwrap_or((0, 0));
        let (width, bound) = match self.variant() {
            Variant::Columns => (rank, 1.0 / (slot.site.d_in as f64).sqrt()),
            Variant::Flat => (1, (rank as f64 / k_a.max(1) as f64).sqrt()),
        };
        let mut rng = slot.rng();
        let mut drawn = |bound: f64, k: usize| uniform(bound, [k, width], &mut rng);
        let found = match (options.init, self) {
            // Where a file is read its values follow.
            (_, Self::File { .. }) | (LoadingsInit::ZeroB, _) => {
                [drawn(bound, k_a), Mat::zeros(k_b, width)]
            }
            (LoadingsInit::Uniform, _) => [drawn(0.5, k_a), drawn(0.5, k_b)],
            (LoadingsInit::Mean, Self::Basis { basis, .. }) => {
                let mean = basis.mean_loadings(path, rank);
                let none = || format!("no adapter of the basis has rank {rank} there");
                mean.map_err(|error| at(path, &error))?
                    .ok_or_else(|| base(path, none()))?
            }
            (LoadingsInit::Project, Self::Basis { projected, .. }) => match projected {
                Some(projected) => projected_loadings(projected, path, rank)?,
                // A folder is being read: its values follow.
                None => [Mat::zeros(k_a, width), Mat::zeros(k_b, width)],
            },
            (LoadingsInit::Mean | LoadingsInit::Project, Self::Random { .. }) => {
                return Err(bad("init", "mean and project need a basis"));
            }
        };
        Ok(Loadings::of(found, self.variant()))
    }
}

impl Loadings {
    /// Of `L_A [k_a, rank]` and `L_B [k_b, rank]`, as a basis has them.
    fn of([a, b]: [Mat<f64>; 2], variant: Variant) -> Self {
        Self {
            a: data(&match variant {
                Variant::Columns => a,
                Variant::Flat => a.transpose().to_owned(),
            }),
            b: data(&b.transpose().to_owned()),
        }
    }
}

/// The loadings of the adapter to start from at a site.
fn projected_loadings(
    projected: &Projection,
    path: &str,
    rank: usize,
) -> Result<[Mat<f64>; 2], PeftError> {
    match projected.sites.get(path) {
        Some(found) if found.rank == rank => Ok([found.a.clone(), found.b.clone()]),
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

/// Numbers from `U(-bound, bound)`.
fn uniform(bound: f64, [rows, columns]: [usize; 2], rng: &mut impl Rng) -> Mat<f64> {
    Mat::from_fn(rows, columns, |_, _| {
        (rng.random::<f64>() * 2.0 - 1.0) * bound
    })
}
