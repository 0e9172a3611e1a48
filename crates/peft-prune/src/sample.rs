//! A sample in which every class has its share.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The indices of about `ratio` of the examples, the same share of each class and at least one of each, in ascending order.
///
/// Examples without a class (regression, language models) are given one class for all.
#[must_use]
pub fn stratified(classes: &[usize], ratio: f64, seed: u64) -> Vec<usize> {
    let mut strata: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, class) in classes.iter().enumerate() {
        strata.entry(*class).or_default().push(index);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = Vec::new();
    for (_, mut indices) in strata {
        indices.shuffle(&mut rng);
        let share = (ratio * indices.len() as f64).round() as usize;
        chosen.extend(indices.iter().take(share.max(1)));
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::stratified;

    #[test]
    fn every_class_has_its_share_and_at_least_one() {
        let classes: Vec<usize> = (0..1000)
            .map(|i| if i % 100 == 0 { 2 } else { i % 2 })
            .collect();
        let sample = stratified(&classes, 0.1, 3);
        let of = |class| sample.iter().filter(|i| classes[**i] == class).count();
        assert_eq!((of(0), of(1), of(2)), (49, 50, 1));
        assert!(sample.is_sorted());
        assert_eq!(sample, stratified(&classes, 0.1, 3));
        assert_ne!(sample, stratified(&classes, 0.1, 4));
        assert_eq!(stratified(&[0, 1], 0.01, 0), [0, 1]);
        assert_eq!(stratified(&[], 0.5, 0), Vec::<usize>::new());
        assert_eq!(stratified(&[5; 4], 1.0, 0), [0, 1, 2, 3]);
    }
}
