//! The subspace that columns share: `C [d, k]` with `C^T C = I`, from the singular value decomposition of `X [d, n]`.
//!
//! Columns `x` have the coordinates (loadings) `l = C^T x` and come back as `C l`; with [`Mean::Stored`], `l = C^T (x - mu)` and `mu + C l`.
//! Among all subspaces of `k` dimensions, the principal components lose the least of `X`: the sum of the squares of the dropped singular
//! values (Eckart and Young 1936). Section 3 of EigenLoRAx, <https://arxiv.org/abs/2502.04700>. Where the published code differs from this:
//! it decomposes by a non-symmetric eigenvalue routine, always centres and forgets the mean ([`Mean::Reference`]), and takes components
//! beyond the rank of `X`, which are rounding.

use faer::{Mat, MatRef};
use peft_format::linalg::{append, squared, without_span};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::deviation::Deviation;
use crate::error::SubspaceError;
use crate::options::{Components, Mean, SubspaceOptions};
use crate::random::append_random;
use crate::stack::{Spectrum, Stack};

/// Largest entry of `|C^T C - I|` that rounding explains.
const ORTHONORMAL: f64 = 1e-10;
/// A mean whose rest outside the components is smaller than this share of it lies among them.
const INSIDE: f64 = 1e-12;

/// Orthonormal directions, the strongest first, then the mean's, then random ones.
#[derive(Debug, Clone)]
pub struct Subspace {
    /// `[d, k]`.
    components: Mat<f64>,
    /// `[d, 1]`, where the mean is stored.
    mean: Option<Mat<f64>>,
    /// Of all directions that are no rounding, also of those that were dropped.
    singular_values: Vec<f64>,
    /// Sum of the squares of all singular values.
    total: f64,
    principal: usize,
    pseudo: usize,
}

impl Subspace {
    /// The subspace of the stacked columns.
    ///
    /// # Errors
    /// [`SubspaceError::Share`], [`SubspaceError::Exhausted`], [`SubspaceError::NoConvergence`], and [`SubspaceError::NotOrthonormal`] if
    /// the result fails its check.
    ///
    /// # Numerics
    /// See [`Stack`]. The number of components is clamped to the numerical rank.
    pub fn of(stack: &Stack, options: &SubspaceOptions) -> Result<Self, SubspaceError> {
        let spectrum = stack.spectrum(options.mean.centres())?;
        Self::from_spectrum(stack, &spectrum, options)
    }

    /// The subspace of a stack whose spectrum is known, so that several sizes need one decomposition.
    pub(crate) fn from_spectrum(
        stack: &Stack,
        spectrum: &Spectrum,
        options: &SubspaceOptions,
    ) -> Result<Self, SubspaceError> {
        let principal = count(&spectrum.values, spectrum.total, options.components)?;
        let mut components = spectrum.vectors.subcols(0, principal).to_owned();
        if options.mean == Mean::Direction {
            append(&mut components, &stack.mean(), INSIDE);
        }
        let taken = components.ncols();
        add_random(&mut components, options)?;
        let subspace = Self {
            mean: (options.mean == Mean::Stored).then(|| stack.mean()),
            singular_values: spectrum.values.clone(),
            total: spectrum.total,
            principal,
            pseudo: components.ncols() - taken,
            components,
        };
        let deviation = subspace.orthonormality();
        if deviation <= ORTHONORMAL {
            Ok(subspace)
        } else {
            Err(SubspaceError::NotOrthonormal { deviation })
        }
    }

    /// The components `C [d, k]`.
    #[must_use]
    pub fn components(&self) -> MatRef<'_, f64> {
        self.components.as_ref()
    }

    /// The stored mean `mu [d, 1]`, with [`Mean::Stored`].
    #[must_use]
    pub fn mean(&self) -> Option<MatRef<'_, f64>> {
        self.mean.as_ref().map(Mat::as_ref)
    }

    /// Number of principal components.
    #[must_use]
    pub fn principal(&self) -> usize {
        self.principal
    }

    /// Number of random directions.
    #[must_use]
    pub fn pseudo(&self) -> usize {
        self.pseudo
    }

    /// Singular values of `X` (of `X - mu`, if the mean is treated apart), in falling order, as many as its numerical rank. The first
    /// [`Self::principal`] belong to components, the others were dropped.
    #[must_use]
    pub fn singular_values(&self) -> &[f64] {
        &self.singular_values
    }

    /// Sum of the squares of all singular values: the variance, up to the factor `1/n`.
    #[must_use]
    pub fn total_variance(&self) -> f64 {
        self.total
    }

    /// Share of the variance that each principal component explains.
    #[must_use]
    pub fn explained(&self) -> Vec<f64> {
        let values = &self.singular_values[..self.principal];
        values
            .iter()
            .map(|value| value.powi(2) / self.total)
            .collect()
    }

    /// Loadings `L [k, n]` of columns `[d, n]`.
    ///
    /// # Panics
    /// When the columns have another height than the components.
    #[must_use]
    pub fn project(&self, columns: MatRef<'_, f64>) -> Mat<f64> {
        project(self.components(), self.mean(), columns)
    }

    /// Columns `[d, n]` of loadings `[k, n]`.
    ///
    /// # Panics
    /// When the loadings have another height than there are components.
    #[must_use]
    pub fn reconstruct(&self, loadings: MatRef<'_, f64>) -> Mat<f64> {
        reconstruct(self.components(), self.mean(), loadings)
    }

    /// How far columns `[d, n]` are from what comes back of them.
    ///
    /// # Panics
    /// When the columns have another height than the components.
    #[must_use]
    pub fn deviation(&self, columns: MatRef<'_, f64>) -> Deviation {
        let back = self.reconstruct(self.project(columns).as_ref());
        Deviation::new(squared((columns - back).as_ref()), squared(columns))
    }

    /// Largest entry of `|C^T C - I|`.
    #[must_use]
    pub fn orthonormality(&self) -> f64 {
        let k = self.components.ncols();
        if k == 0 {
            return 0.0;
        }
        let deviation = self.components.transpose() * &self.components - Mat::<f64>::identity(k, k);
        deviation.norm_max()
    }
}

/// Loadings of columns: `C^T x` or `C^T (x - mu)`.
pub(crate) fn project(
    components: MatRef<'_, f64>,
    mean: Option<MatRef<'_, f64>>,
    columns: MatRef<'_, f64>,
) -> Mat<f64> {
    match mean {
        None => components.transpose() * columns,
        Some(mean) => {
            components.transpose() * (columns - mean * Mat::<f64>::ones(1, columns.ncols()))
        }
    }
}

/// Columns of loadings: `C l` or `mu + C l`.
pub(crate) fn reconstruct(
    components: MatRef<'_, f64>,
    mean: Option<MatRef<'_, f64>>,
    loadings: MatRef<'_, f64>,
) -> Mat<f64> {
    let columns = components * loadings;
    match mean {
        None => columns,
        Some(mean) => columns + mean * Mat::<f64>::ones(1, loadings.ncols()),
    }
}

/// How many of the singular values `values`, whose squares add up to `total`, are kept.
pub(crate) fn count(
    values: &[f64],
    total: f64,
    components: Components,
) -> Result<usize, SubspaceError> {
    let rank = values.len();
    match components {
        Components::Fixed(k) => Ok(k.min(rank)),
        Components::Variance(share) => {
            if !(0.0..=1.0).contains(&share) {
                return Err(SubspaceError::Share { found: share });
            }
            let mut left = total;
            let least = (1.0 - share) * total;
            let enough = values.iter().take_while(|value| {
                let goes_on = left > least;
                left -= value.powi(2);
                goes_on
            });
            Ok(enough.count())
        }
    }
}

/// Random directions.
fn add_random(components: &mut Mat<f64>, options: &SubspaceOptions) -> Result<(), SubspaceError> {
    let (d, taken) = components.shape();
    if options.pseudo > d - taken {
        return Err(SubspaceError::Exhausted {
            d,
            taken,
            asked: options.pseudo,
        });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    append_random(components, taken + options.pseudo, &mut rng);
    Ok(())
}

/// The principal angles between the spans of two sets of orthonormal columns, in radians, in rising order, as many as the smaller set has.
///
/// Cosines are the singular values of `C1^T C2`; where they say little, below 45 degrees, the angles are taken from sines, the singular
/// values of `(I - C1 C1^T) C2` (Björck and Golub 1973). `None` when the decomposition does not converge.
///
/// # Panics
/// When the columns have different heights.
#[must_use]
pub fn principal_angles(one: MatRef<'_, f64>, other: MatRef<'_, f64>) -> Option<Vec<f64>> {
    let (wide, narrow) = if one.ncols() >= other.ncols() {
        (one, other)
    } else {
        (other, one)
    };
    if narrow.ncols() == 0 {
        return Some(Vec::new());
    }
    let cosines = (wide.transpose() * narrow).singular_values().ok()?;
    let mut sines = without_span(wide, narrow).singular_values().ok()?;
    sines.reverse();
    let angles = cosines.iter().zip(&sines).map(|(cosine, sine)| {
        if *sine < std::f64::consts::FRAC_1_SQRT_2 {
            sine.asin()
        } else {
            cosine.min(1.0).acos()
        }
    });
    Some(angles.collect())
}
