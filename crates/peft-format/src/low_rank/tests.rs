//! Every figure against the dense product.

use super::*;

const T: Layout = Layout::Transposed;

fn tensor(shape: [usize; 2], seed: f32) -> HostTensor {
    let count = shape[0] * shape[1];
    let values = (0..count)
        .map(|index| ((index as f32 + seed) * 1.7).sin())
        .collect();
    HostTensor::new("x", shape, values).unwrap()
}

/// As a file has them: `a [rank, d_in]`, `b [d_out, rank]`.
fn update(rank: usize, d_in: usize, d_out: usize, seed: f32, scale: f64) -> LowRank {
    let (a, b) = (
        tensor([rank, d_in], seed),
        tensor([d_out, rank], seed + 0.5),
    );
    LowRank::new((&a, T), (&b, T), scale).unwrap()
}

fn dense(update: &LowRank) -> Mat<f64> {
    &update.a * &update.b
}

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-12 * expected.abs().max(1.0),
        "{found} {expected}"
    );
}

#[test]
fn norm_and_singular_values_are_those_of_the_dense_product() {
    for (rank, d_in, d_out) in [(3, 5, 7), (2, 9, 4), (6, 3, 8), (1, 1, 1)] {
        let update = update(rank, d_in, d_out, 0.3, -0.5);
        let dense = dense(&update);
        close(update.norm(), dense.norm_l2());
        let expected = dense.singular_values().unwrap();
        let found = update.singular_values().unwrap();
        assert_eq!(found.len(), rank.min(d_in).min(d_out));
        for (found, expected) in found.iter().zip(&expected) {
            close(*found, *expected);
        }
        assert!(expected[found.len()..].iter().all(|rest| *rest < 1e-12));
    }
}

#[test]
fn both_layouts_of_a_file_mean_the_same_update() {
    let turned = tensor([3, 5], 0.3);
    let data = (0..15)
        .map(|index| turned.data[index % 3 * 5 + index / 3])
        .collect();
    let as_is = HostTensor::new("a", [5, 3], data).unwrap();
    let b = tensor([7, 3], 0.9);
    let one = LowRank::new((&turned, T), (&b, T), 1.0).unwrap();
    let other = LowRank::new((&as_is, Layout::AsIs), (&b, T), 1.0).unwrap();
    assert_eq!(dense(&one), dense(&other));
}

#[test]
fn what_is_no_pair_of_matrices_of_one_rank_is_refused() {
    let (a, b) = (tensor([3, 5], 0.0), tensor([7, 2], 0.0));
    assert!(LowRank::new((&a, T), (&b, T), 1.0).is_none());
    let cube = HostTensor::new("c", [1, 3, 5], vec![0.0; 15]).unwrap();
    assert!(LowRank::new((&cube, T), (&b, T), 1.0).is_none());
}

#[test]
fn empty_factors_and_values_that_are_not_numbers_are_no_panic() {
    let empty = HostTensor::new("e", [0, 5], vec![]).unwrap();
    let none = HostTensor::new("e", [4, 0], vec![]).unwrap();
    let update = LowRank::new((&empty, T), (&none, T), 1.0).unwrap();
    close(update.norm(), 0.0);
    assert_eq!(update.singular_values(), Some(vec![]));
    let mut a = tensor([3, 5], 0.0);
    a.data[4] = f32::NAN;
    let update = LowRank::new((&a, T), (&tensor([7, 3], 0.0), T), 1.0).unwrap();
    assert!(update.norm().is_nan());
    assert_eq!(update.singular_values(), None);
}

#[test]
fn effective_ranks_count_equal_directions_and_discount_weak_ones() {
    let even = EffectiveRank::of(&[2.0, 2.0, 2.0, 0.0]);
    close(even.entropy, 3.0);
    close(even.stable, 3.0);
    let uneven = EffectiveRank::of(&[1.0, 0.1]);
    close(uneven.stable, 1.01);
    assert!(
        uneven.stable < uneven.entropy && uneven.entropy < 2.0,
        "{uneven:?}"
    );
    let zero = EffectiveRank::of(&[0.0, 0.0]);
    assert_eq!((zero.entropy, zero.stable), (0.0, 0.0));
}
