//! Ours over theirs, over several turns.

/// The ratio in the middle, with the smallest and the largest.
pub(crate) fn ratio(turns: impl Iterator<Item = (f64, f64)>) -> String {
    let mut ratios: Vec<f64> = turns.map(|(ours, theirs)| ours / theirs).collect();
    ratios.sort_by(f64::total_cmp);
    let of = |place: usize| ratios.get(place).copied().unwrap_or(f64::NAN);
    format!(
        "{:.2} ({:.2} to {:.2})",
        of(ratios.len() / 2),
        of(0),
        of(ratios.len().saturating_sub(1))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_turns_and_its_ends() {
        let turns = [(2.0, 4.0), (3.0, 4.0), (1.0, 4.0)];
        assert_eq!(ratio(turns.into_iter()), "0.50 (0.25 to 0.75)");
        assert_eq!(ratio(std::iter::empty()), "NaN (NaN to NaN)");
    }
}
