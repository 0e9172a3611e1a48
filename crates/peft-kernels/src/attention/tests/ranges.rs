//! Masks as ranges of keys: on every device against f64, and the same as a bias.

use super::{Case, attention, composed};
use crate::testing::{assert_close, device, fused_devices, other_devices, wide};

/// Causal masks, windows, sequences that begin later than others, and several texts in a row, in one tile and in several.
fn cases() -> Vec<Case> {
    let case = |sizes, window, less| Case::new(sizes, 31).causal_ranges(window, less);
    vec![
        case([1, 2, 1, 5, 5, 4], 1000, 0),
        case([3, 4, 2, 30, 34, 8], 1000, 7),
        case([2, 2, 2, 130, 130, 8], 9, 70),
        case([2, 2, 1, 3, 600, 4], 40, 100),
        Case::new([2, 4, 2, 40, 40, 8], 32).texts(&[5, 20, 1, 14]),
        Case::new([1, 2, 1, 360, 360, 4], 33).texts(&[3, 300, 57]),
    ]
}

#[test]
fn ranges_are_the_formula_with_what_they_hide() {
    for case in cases() {
        case.check_fused();
    }
}

#[test]
fn what_reads_no_ranges_gets_them_as_a_bias() {
    for (ranges, bias) in cases().into_iter().zip(cases()) {
        let bias = bias.with_ranges_as_bias();
        let [found, expected] =
            [ranges, bias].map(|case| case.run(&device(), false, None, composed));
        assert_eq!(found, expected);
    }
    for device in other_devices() {
        let device = device.autodiff();
        for case in cases() {
            case.check(&device);
        }
    }
}

#[test]
fn dropped_weights_are_those_of_a_bias() {
    // Elsewhere what is dropped is drawn anew for each.
    let device = device();
    for (ranges, bias) in cases().into_iter().zip(cases()) {
        let bias = bias.with_ranges_as_bias();
        let [found, expected] =
            [ranges, bias].map(|case| case.run(&device, true, Some((0.3, 7)), attention));
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, &wide(expected), 1e-5, 1e-5);
        }
    }
}

#[test]
fn a_key_that_nobody_sees_may_be_anything() {
    const SECOND: usize = 2 * 20 * 4;
    for device in fused_devices() {
        let [expected, found] = [0.0, f32::NAN].map(|hidden| {
            let mut case = Case::new([2, 2, 2, 20, 20, 4], 5).causal_ranges(1000, 6);
            // The first keys of the second sequence, which its first queries see alone.
            case.key[SECOND..SECOND + 4].fill(hidden);
            case.run(&device, false, None, attention)
        });
        // All heads of the second sequence from its second query on.
        let [expected, found] = [expected, found].map(|[y, ..]| y[SECOND + 4..].to_vec());
        assert_eq!(found, expected);
    }
}

#[test]
fn texts_in_a_row_are_what_each_is_alone() {
    const LENGTHS: [usize; 3] = [30, 7, 200];
    const D: usize = 8;
    let together = Case::new([1, 1, 1, 237, 237, D], 3).texts(&LENGTHS);
    for device in fused_devices() {
        let all = together.run(&device, false, None, attention);
        let mut start = 0;
        for length in LENGTHS {
            let own = start * D..(start + length) * D;
            start += length;
            let mut alone = Case::new([1, 1, 1, length, length, D], 3).texts(&[length]);
            for (text, row) in [
                (&mut alone.query, &together.query),
                (&mut alone.key, &together.key),
                (&mut alone.value, &together.value),
                (&mut alone.cotangent, &together.cotangent),
            ] {
                *text = row[own.clone()].to_vec();
            }
            let alone = alone.run(&device, false, None, attention);
            for (alone, all) in alone.iter().zip(&all) {
                assert_close(&all[own.clone()], &wide(alone), 1e-6, 1e-6);
            }
        }
    }
}

#[test]
#[should_panic(expected = "sees some of 3 keys")]
fn a_range_behind_the_last_key_is_refused() {
    let _ = super::KeyRanges::new(&[vec![0..1, 2..4]], 3, &device());
}

#[test]
#[should_panic(expected = "sees some of 3 keys")]
fn a_query_that_sees_nothing_is_refused() {
    let _ = super::KeyRanges::new(&[vec![0..1, 2..2]], 3, &device());
}
