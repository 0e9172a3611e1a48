//! How many directions of an update are kept, and how far an update is from another.

use peft_format::Factors;
use peft_format::decompose::Decomposed;

use crate::deviation::Deviation;
use crate::error::SubspaceError;
use crate::options::Components;
use crate::subspace::count;

/// The factors of the strongest directions, each singular value shared between both; of at least rank 1.
///
/// # Errors
/// [`SubspaceError::Share`].
pub(crate) fn strongest(
    update: &Decomposed,
    components: Components,
) -> Result<Factors, SubspaceError> {
    let total = update.values.iter().map(|value| value.powi(2)).sum();
    Ok(update.strongest(count(&update.values, total, components)?))
}

/// Every component.
pub(crate) const ALL: Components = Components::Fixed(usize::MAX);

/// `||B A - B' A'||_F` by `||B A||_F`, from the factors.
///
/// # Numerics
/// The norm of the difference is that of the core of `[B | -B']` and `[A; A']`: errors down to `eps ||B A||_F` are seen.
pub(crate) fn deviation(exact: &Factors, found: &Factors) -> Deviation {
    Deviation::new(exact.minus(found).squared_norm(), exact.squared_norm())
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::*;

    #[test]
    fn a_share_of_the_energy_keeps_as_few_directions_as_reach_it() {
        let update = Mat::from_fn(4, 4, |row, column| {
            if row == column {
                2.0_f64.powi(-(row as i32))
            } else {
                0.0
            }
        });
        let decomposed = Decomposed::of_dense(update.as_ref()).unwrap();
        let rank = |share| {
            strongest(&decomposed, Components::Variance(share))
                .unwrap()
                .a
                .ncols()
        };
        assert_eq!((rank(0.7), rank(0.8), rank(1.0)), (1, 2, 4));
        assert!(matches!(
            strongest(&decomposed, Components::Variance(1.5)),
            Err(SubspaceError::Share { .. })
        ));
    }
}
