//! Dropout of the weights.

use super::{ABSOLUTE, Case, RELATIVE, attention, composed};
use crate::testing::{assert_close, device, wide};

#[test]
fn dropout_drops_the_same_weights_as_the_composition() {
    let dropout = Some((0.3, 77));
    for (sizes, bias) in [
        ([2, 4, 2, 9, 11, 6], Some([2, 1, 1, 11])),
        ([1, 2, 2, 40, 64, 8], None),
        ([2, 2, 1, 70, 70, 4], Some([1, 1, 70, 70])),
    ] {
        let mut case = Case::new(sizes, 8);
        if let Some(shape) = bias {
            case = case.with_bias(shape, 8);
        }
        let fused = case.run(&device(), true, dropout, attention);
        let expected = case.run(&device(), true, dropout, composed);
        let without = case.run(&device(), true, None, attention);
        assert_ne!(fused[0], without[0]);
        for (fused, expected) in fused.iter().zip(&expected) {
            assert_close(fused, &wide(expected), ABSOLUTE, RELATIVE);
        }
    }
}

#[test]
fn everything_dropped_is_zero() {
    let case = Case::new([1, 1, 1, 2, 2, 2], 9);
    let [y, ..] = case.run(&device(), false, Some((1.0, 3)), attention);
    assert_eq!(y, [0.0; 4]);
}
