//! Exact properties of subspaces: orthonormality, reconstruction in every mode, Eckart-Young, order, augmentation.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use faer::{Mat, MatRef};
use peft_recycle::{
    Components, Mean, Stack, Subspace, SubspaceError, SubspaceOptions, principal_angles,
};
use proptest::prelude::*;
use support::{beside, distance, projector, random};

const EXACT: [Mean; 3] = [Mean::Uncentred, Mean::Direction, Mean::Stored];

fn stack(parts: &[MatRef<'_, f64>]) -> Stack {
    let count = parts.iter().map(MatRef::ncols).sum();
    let mut stack = Stack::new(parts[0].nrows(), count);
    for part in parts {
        stack.push(*part).unwrap();
    }
    stack
}

fn subspace(columns: &Mat<f64>, options: &SubspaceOptions) -> Subspace {
    Subspace::of(&stack(&[columns.as_ref()]), options).unwrap()
}

fn full(mean: Mean) -> SubspaceOptions {
    SubspaceOptions::fixed(usize::MAX).with_mean(mean)
}

#[test]
fn at_full_rank_the_exact_modes_reproduce_what_they_were_made_of() {
    // Fewer columns than dimensions, and so many that X X^T is summed instead.
    for (d, n, low) in [(40, 12, 1e-13), (10, 300, 1e-12)] {
        let columns = random(d, n, 1);
        for mean in EXACT {
            let error = subspace(&columns, &full(mean)).deviation(columns.as_ref());
            assert!(error.relative() < low, "{mean:?} {d}: {error:?}");
        }
    }
}

#[test]
fn columns_of_lower_rank_than_their_number_are_reproduced_by_as_many_components() {
    for (d, n) in [(40, 12), (12, 300)] {
        let columns = random(d, 5, 1) * random(5, n, 2);
        for mean in EXACT {
            let subspace = subspace(&columns, &full(mean));
            assert!(subspace.components().ncols() <= 5, "{mean:?}");
            let error = subspace.deviation(columns.as_ref()).relative();
            assert!(error < 1e-7, "{mean:?} {d}: {error}");
        }
    }
}

/// The trap of the published code: it centres, forgets the mean, and projects what was not centred.
#[test]
fn the_reference_mode_does_not_reproduce_its_own_columns_even_at_full_rank() {
    let columns = random(40, 12, 1);
    let reference = subspace(&columns, &full(Mean::Reference));
    assert_eq!(reference.principal(), 11);
    let error = reference.deviation(columns.as_ref()).relative();
    assert!((0.1..0.9).contains(&error), "{error}");
}

#[test]
fn what_is_lost_is_the_sum_of_the_squares_of_the_dropped_singular_values() {
    for (d, n) in [(30, 14), (14, 60)] {
        let columns = random(d, n, 3);
        let scale = columns.norm_l2().powi(2);
        let mut before = f64::INFINITY;
        for k in 0..=14 {
            for mean in [Mean::Uncentred, Mean::Stored] {
                let subspace = subspace(&columns, &SubspaceOptions::fixed(k).with_mean(mean));
                let dropped = &subspace.singular_values()[subspace.principal()..];
                let dropped: f64 = dropped.iter().map(|value| value.powi(2)).sum();
                let lost = subspace.deviation(columns.as_ref()).squared_error;
                assert!(
                    (lost - dropped).abs() < 1e-11 * scale,
                    "{mean:?} {k}: {lost} {dropped}"
                );
                if mean == Mean::Uncentred {
                    assert!(lost < before, "{k}: {lost} after {before}");
                    before = lost;
                }
            }
        }
    }
}

#[test]
fn components_stay_orthonormal_with_the_direction_of_the_mean_and_random_ones() {
    let columns = random(24, 10, 4);
    for mean in [
        Mean::Uncentred,
        Mean::Direction,
        Mean::Stored,
        Mean::Reference,
    ] {
        let options = SubspaceOptions {
            pseudo: 13,
            seed: 9,
            ..SubspaceOptions::fixed(6).with_mean(mean)
        };
        let plain = subspace(&columns, &SubspaceOptions::fixed(6).with_mean(mean));
        let larger = subspace(&columns, &options);
        assert_eq!((larger.principal(), larger.pseudo()), (6, 13));
        assert_eq!(
            larger.components().ncols(),
            19 + usize::from(mean == Mean::Direction)
        );
        assert!(larger.orthonormality() < 1e-13, "{mean:?}");
        assert_eq!(
            larger.components().subcols(0, plain.components().ncols()),
            plain.components()
        );
        let other = subspace(
            &columns,
            &SubspaceOptions {
                seed: 10,
                ..options
            },
        );
        assert_ne!(other.components(), larger.components());
        assert_eq!(
            subspace(&columns, &options).components(),
            larger.components()
        );
    }
}

#[test]
fn random_directions_beyond_the_dimensions_are_refused_with_the_number_that_fits() {
    let options = |pseudo| SubspaceOptions {
        pseudo,
        ..SubspaceOptions::fixed(4)
    };
    let stacked = stack(&[random(8, 6, 1).as_ref()]);
    assert_eq!(
        Subspace::of(&stacked, &options(4))
            .unwrap()
            .components()
            .ncols(),
        8
    );
    let error = Subspace::of(&stacked, &options(5)).unwrap_err();
    let expected = SubspaceError::Exhausted {
        d: 8,
        taken: 4,
        asked: 5,
    };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("at most 4"), "{error}");
}

#[test]
fn components_beyond_the_rank_are_not_made_up() {
    let column = random(20, 1, 1);
    let columns = beside(&[column.as_ref(), column.as_ref(), (&column * 3.0).as_ref()]);
    assert_eq!(subspace(&columns, &full(Mean::Uncentred)).principal(), 1);
    assert_eq!(
        subspace(&columns, &full(Mean::Direction))
            .components()
            .ncols(),
        1
    );
    let zeros = Mat::zeros(20, 3);
    for mean in EXACT {
        let nothing = subspace(&zeros, &full(mean));
        assert_eq!(nothing.components().ncols(), 0, "{mean:?}");
        assert_eq!(nothing.deviation(zeros.as_ref()).relative(), 0.0);
        assert!(nothing.explained().is_empty());
    }
}

#[test]
fn a_share_of_the_variance_takes_the_fewest_components_that_reach_it() {
    let columns = random(20, 9, 5);
    let values = subspace(&columns, &full(Mean::Uncentred)).explained();
    assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let of = |share| {
        let options = SubspaceOptions {
            components: Components::Variance(share),
            ..SubspaceOptions::fixed(0)
        };
        Subspace::of(&stack(&[columns.as_ref()]), &options).map(|subspace| subspace.principal())
    };
    for k in 1..9 {
        let share: f64 = values[..k].iter().sum();
        assert_eq!(of(share - 1e-9).unwrap(), k);
        assert_eq!(of(share + 1e-9).unwrap(), k + 1);
    }
    assert_eq!((of(0.0).unwrap(), of(1.0).unwrap()), (0, 9));
    assert_eq!(of(1.5).unwrap_err(), SubspaceError::Share { found: 1.5 });
}

#[test]
fn columns_that_do_not_fit_or_are_not_finite_are_refused() {
    let mut stack = Stack::new(5, 2);
    let expected = SubspaceError::Height {
        expected: 5,
        found: 4,
    };
    assert_eq!(stack.push(Mat::zeros(4, 1).as_ref()).unwrap_err(), expected);
    let nan = Mat::from_fn(5, 1, |row, _| if row == 3 { f64::NAN } else { 1.0 });
    assert_eq!(
        stack.push(nan.as_ref()).unwrap_err(),
        SubspaceError::NotFinite
    );
    assert_eq!((stack.width(), stack.height()), (0, 5));
}

#[test]
fn principal_angles_are_right_where_cosines_and_where_sines_are_blind() {
    let turned = |angle: f64| {
        let mut columns = Mat::zeros(6, 2);
        columns[(0, 0)] = 1.0;
        columns[(1, 1)] = angle.cos();
        columns[(2, 1)] = angle.sin();
        columns
    };
    for angle in [0.0, 1e-12, 1e-7, 0.3, 1.2, std::f64::consts::FRAC_PI_2] {
        let angles = principal_angles(turned(0.0).as_ref(), turned(angle).as_ref()).unwrap();
        assert!(angles[0] < 1e-15, "{angles:?}");
        assert!(
            (angles[1] - angle).abs() < 1e-15 + 1e-9 * angle,
            "{angles:?}"
        );
    }
    let one = turned(0.0).subcols(0, 1).to_owned();
    let angles = principal_angles(one.as_ref(), turned(1.0).as_ref()).unwrap();
    assert!(angles.len() == 1 && angles[0] < 1e-15);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Summing X X^T and holding the columns lead to one subspace, in whatever order and pieces the columns come.
    #[test]
    fn neither_order_nor_pieces_nor_the_way_of_computing_matters(
        d in 3_usize..12, ranks in prop::collection::vec(1_usize..5, 2..7), k in 1_usize..4, seed in 0_u64..1000,
    ) {
        let parts: Vec<Mat<f64>> = ranks
            .iter()
            .enumerate()
            .map(|(at, rank)| random(d, *rank, 1000 * seed + at as u64))
            .collect();
        let views: Vec<_> = parts.iter().map(Mat::as_ref).collect();
        let reversed: Vec<_> = views.iter().rev().copied().collect();
        // A stack that expects as many columns as come, and ones that hold or sum whatever comes.
        let mut summed = Stack::new(d, usize::MAX);
        let mut held = Stack::new(d, 0);
        for view in &reversed {
            summed.push(*view).unwrap();
            held.push(*view).unwrap();
        }
        for mean in [Mean::Uncentred, Mean::Direction, Mean::Stored, Mean::Reference] {
            let options = SubspaceOptions::fixed(k).with_mean(mean);
            let expected = Subspace::of(&stack(&views), &options).unwrap();
            let values = expected.singular_values();
            let kept = expected.principal();
            // Where the next direction is as strong, both choices are right.
            prop_assume!(kept == values.len() || values[kept] < 0.98 * values[kept - 1]);
            for other in [stack(&reversed), summed.clone(), held.clone()] {
                let other = Subspace::of(&other, &options).unwrap();
                let apart = distance(&projector(expected.components()), &projector(other.components()));
                prop_assert!(apart < 1e-6, "{:?}: {}", mean, apart);
                prop_assert!(other.orthonormality() < 1e-12);
            }
        }
    }

    #[test]
    fn loadings_of_loadings_are_the_loadings(
        d in 2_usize..20, n in 1_usize..25, k in 0_usize..30, seed in 0_u64..1000,
    ) {
        let columns = random(d, n, seed);
        for mean in EXACT {
            let subspace = subspace(&columns, &SubspaceOptions::fixed(k).with_mean(mean));
            let loadings = subspace.project(columns.as_ref());
            let again = subspace.project(subspace.reconstruct(loadings.as_ref()).as_ref());
            prop_assert!((&again - &loadings).norm_max() < 1e-10);
        }
    }
}
