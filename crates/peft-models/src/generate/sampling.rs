//! Choosing the next token from its scores.

use rand::{Rng, RngExt};

/// How a token is chosen: greedily at temperature 0, else drawn after the scores were changed, in this order: repetition penalty,
/// temperature, `top_k`, `top_p`, as in `transformers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the scores; 0 takes the largest.
    pub temperature: f64,
    /// Only so many of the likeliest tokens; 0 is all.
    pub top_k: usize,
    /// Only the likeliest tokens whose probabilities sum up to this share; 1 is all.
    pub top_p: f64,
    /// Scores of tokens that occurred are divided by it where positive and multiplied where negative; 1 changes nothing
    /// (CTRL, Keskar et al. 2019, arXiv 1909.05858).
    pub repetition_penalty: f64,
}

impl Sampling {
    /// The likeliest token each time.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        repetition_penalty: 1.0,
    };

    /// The next token after `seen`; `None` when a score is NaN, or none is finite. Among equal scores the first token wins.
    pub(crate) fn choose(&self, scores: &[f32], seen: &[u32], rng: &mut impl Rng) -> Option<u32> {
        if scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let mut scores: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
        self.penalise(&mut scores, seen);
        let falling =
            |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then_with(|| a.cmp(b));
        let best = (0..scores.len()).min_by(falling)?;
        if !scores[best].is_finite() {
            return None;
        }
        if self.temperature <= 0.0 {
            return u32::try_from(best).ok();
        }
        let mut ranked: Vec<usize> = (0..scores.len()).collect();
        if (1..ranked.len()).contains(&self.top_k) {
            ranked.select_nth_unstable_by(self.top_k, falling);
            ranked.truncate(self.top_k);
        }
        ranked.sort_unstable_by(falling);
        let weight = |at: &usize| ((scores[*at] - scores[best]) / self.temperature).exp();
        let weights: Vec<f64> = ranked.iter().map(weight).collect();
        let kept = self.nucleus(&weights);
        let total: f64 = weights[..kept].iter().sum();
        let mut left = rng.random::<f64>() * total;
        let chosen = weights[..kept].iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        u32::try_from(ranked[chosen.unwrap_or(kept - 1)]).ok()
    }

    fn penalise(&self, scores: &mut [f64], seen: &[u32]) {
        let mut done = std::collections::HashSet::new();
        for token in seen.iter().filter(|token| done.insert(**token)) {
            if let Some(score) = scores.get_mut(*token as usize) {
                *score = if *score > 0.0 {
                    *score / self.repetition_penalty
                } else {
                    *score * self.repetition_penalty
                };
            }
        }
    }

    /// How many of the falling weights are needed to reach `top_p` of their sum; at least one.
    fn nucleus(&self, weights: &[f64]) -> usize {
        let share = self.top_p * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let reached = weights.iter().position(|weight| {
            sum += weight;
            sum >= share
        });
        reached.map_or(weights.len(), |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SCORES: [f32; 4] = [1.0, 3.0, 2.0, -1.0];

    fn drawn(sampling: &Sampling, count: usize) -> [usize; 4] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0; 4];
        for _ in 0..count {
            counts[sampling.choose(&SCORES, &[], &mut rng).unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn at_temperature_zero_the_largest_wins_and_a_penalty_can_pass_it_over() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(Sampling::GREEDY.choose(&SCORES, &[1], &mut rng), Some(1));
        let penalised = Sampling {
            repetition_penalty: 1.6,
            ..Sampling::GREEDY
        };
        // 3 / 1.6 < 2, once however often the token occurred.
        assert_eq!(penalised.choose(&SCORES, &[1, 1], &mut rng), Some(2));
        assert_eq!(penalised.choose(&SCORES, &[], &mut rng), Some(1));
    }

    #[test]
    fn tokens_are_drawn_with_their_probabilities() {
        let free = Sampling {
            temperature: 2.0,
            ..Sampling::GREEDY
        };
        let weights = SCORES.map(|score| f64::from(score / 2.0).exp());
        let total: f64 = weights.iter().sum();
        for (count, weight) in drawn(&free, 20_000).iter().zip(weights) {
            let share = *count as f64 / 20_000.0;
            assert!((share - weight / total).abs() < 0.02, "{share}");
        }
    }

    #[test]
    fn top_k_and_top_p_leave_the_likeliest() {
        let two = Sampling {
            temperature: 1.0,
            top_k: 2,
            ..Sampling::GREEDY
        };
        let [first, second, third, fourth] = drawn(&two, 500);
        assert!(first == 0 && fourth == 0 && second > 0 && third > 0);
        // The shares are 0.66, 0.24, 0.09, 0.01.
        let nucleus = |top_p| Sampling {
            temperature: 1.0,
            top_p,
            ..Sampling::GREEDY
        };
        assert_eq!(drawn(&nucleus(0.6), 500), [0, 500, 0, 0]);
        assert_eq!(drawn(&nucleus(0.7), 500)[0], 0);
        assert!(drawn(&nucleus(0.95), 500)[0] > 0);
    }

    #[test]
    fn scores_that_are_not_numbers_choose_nothing() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut choose = |scores: &[f32]| Sampling::GREEDY.choose(scores, &[], &mut rng);
        assert_eq!(choose(&[1.0, f32::NAN]), None);
        assert_eq!(choose(&[f32::NEG_INFINITY]), None);
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&[f32::NEG_INFINITY, 0.0]), Some(1));
    }
}
