//! Products with narrow matrices in CubeCL: that the gradient's kernel runs, and what it gives.

use super::Case;
use crate::testing::{assert_runs, cube_device};

#[test]
fn the_kernel_runs_for_both_halves_of_a_pair() {
    let Some(device) = cube_device() else { return };
    let case = Case::new([9, 80, 90, 3], 2);
    assert_runs(&["narrow gradient on cube"], || {
        case.check_pair(&device.autodiff(), false, true);
    });
}

/// One row; parts of one size and a rest; more columns than units; the widest pair.
#[test]
fn gradients_of_pairs_are_those_of_the_formula() {
    let Some(device) = cube_device() else { return };
    let device = device.autodiff();
    for sizes in [[1, 3, 2, 1], [301, 130, 540, 8], [64, 65, 70, 64]] {
        Case::new(sizes, 5).check_pair(&device, false, false);
        Case::new(sizes, 6).check_pair(&device, true, true);
    }
    Case::new([70, 40, 90, 1], 7).check_plain(&device, true);
}
