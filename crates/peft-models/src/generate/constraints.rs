//! Tokens that may not come next, or must: the rules of a `generation_config.json` beside the choice by scores.
//!
//! Each rule is that of `transformers`: a token that it forbids has the score minus infinity, whatever it had before.

use std::borrow::Cow;

/// What a continuation may not hold. The default forbids nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints {
    /// No run of so many tokens occurs twice, the prompt included; 0 forbids nothing.
    pub no_repeat_ngram: usize,
    /// Sequences of tokens that are not completed.
    pub bad_words: Vec<Vec<u32>>,
    /// Prompt and answer do not end before they have so many tokens.
    pub min_length: usize,
    /// The answer does not end before it has so many tokens.
    pub min_new_tokens: usize,
    /// Tokens that never come.
    pub suppressed: Vec<u32>,
    /// Tokens that an answer does not begin with.
    pub suppressed_first: Vec<u32>,
    /// The token that comes last where an answer reaches its greatest length.
    pub forced_end: Option<u32>,
}

/// Where a text stands when its next token is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// Prompt and answer so far.
    pub(super) tokens: &'a [u32],
    /// Tokens of the prompt.
    pub(super) prompt: usize,
    /// Greatest number of tokens of the answer.
    pub(super) max_new_tokens: usize,
    /// Tokens that end a text.
    pub(super) ends: &'a [u32],
}

impl Constraints {
    /// Scores without what is forbidden.
    pub(super) fn apply<'a>(&self, scores: &'a [f32], at: Standing<'_>) -> Cow<'a, [f32]> {
        if *self == Self::default() {
            return Cow::Borrowed(scores);
        }
        let mut scores = scores.to_vec();
        let mut forbid = |token: u32| {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = f32::NEG_INFINITY;
            }
        };
        let new = at.tokens.len() - at.prompt;
        self.repeating(at.tokens).for_each(&mut forbid);
        let completed = self.bad_words.iter().filter_map(|word| {
            let (last, before) = word.split_last()?;
            let is_end = before.is_empty() && at.ends.contains(last);
            (at.tokens.ends_with(before) && !is_end).then_some(*last)
        });
        completed.for_each(&mut forbid);
        if new < self.min_new_tokens || at.tokens.len() < self.min_length {
            at.ends.iter().copied().for_each(&mut forbid);
        }
        let first = self.suppressed_first.iter().filter(|_| new == 0);
        (self.suppressed.iter().chain(first).copied()).for_each(&mut forbid);
        if let Some(end) = self.forced_end.filter(|_| new + 1 == at.max_new_tokens) {
            scores.fill(f32::NEG_INFINITY);
            if let Some(score) = scores.get_mut(end as usize) {
                *score = 0.0;
            }
        }
        Cow::Owned(scores)
    }

    /// The tokens that followed the last tokens, one fewer than the forbidden length, wherever those stood before.
    fn repeating<'a>(&self, tokens: &'a [u32]) -> impl Iterator<Item = u32> + use<'a> {
        let length = self.no_repeat_ngram;
        let last = (length > 0 && tokens.len() + 1 >= length)
            .then(|| &tokens[tokens.len() + 1 - length..]);
        tokens.windows(length.max(1)).filter_map(move |run| {
            let (next, before) = run.split_last()?;
            (Some(before) == last).then_some(*next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];

    /// Tokens that may still come after `tokens`, of which the first `prompt` are the prompt; 5 ends a text.
    fn allowed(constraints: &Constraints, tokens: &[u32], prompt: usize) -> Vec<usize> {
        let standing = Standing {
            tokens,
            prompt,
            max_new_tokens: 4,
            ends: &[5],
        };
        let scores = constraints.apply(&SCORES, standing);
        (0..6).filter(|at| scores[*at].is_finite()).collect()
    }

    #[test]
    fn nothing_is_forbidden_by_default() {
        let standing = allowed(&Constraints::default(), &[1, 2, 1], 1);
        assert_eq!(standing, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_run_of_tokens_does_not_come_twice() {
        let of = |no_repeat_ngram| Constraints {
            no_repeat_ngram,
            ..Constraints::default()
        };
        assert_eq!(allowed(&of(1), &[1, 2], 2), [0, 3, 4, 5]);
        assert_eq!(allowed(&of(2), &[1, 2, 1, 3, 1], 2), [0, 1, 4, 5]);
        assert_eq!(allowed(&of(3), &[1, 2, 4, 0, 1, 2], 2), [0, 1, 2, 3, 5]);
        assert_eq!(allowed(&of(3), &[1], 1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(allowed(&of(9), &[1, 1], 1), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn words_are_not_completed_and_the_end_is_no_bad_word() {
        let words = Constraints {
            bad_words: vec![vec![3], vec![1, 2, 4], vec![5], vec![]],
            ..Constraints::default()
        };
        assert_eq!(allowed(&words, &[0, 1, 2], 1), [0, 1, 2, 5]);
        assert_eq!(allowed(&words, &[0, 2], 1), [0, 1, 2, 4, 5]);
    }

    #[test]
    fn an_answer_is_as_long_as_was_asked_and_begins_and_ends_as_was_asked() {
        let least = Constraints {
            min_new_tokens: 2,
            ..Constraints::default()
        };
        assert_eq!(allowed(&least, &[1, 1, 2], 2).last(), Some(&4));
        assert_eq!(allowed(&least, &[1, 1, 2, 2], 2).last(), Some(&5));
        let all = Constraints {
            min_length: 4,
            ..Constraints::default()
        };
        assert_eq!(allowed(&all, &[1, 1, 2], 2).last(), Some(&4));
        let shown = Constraints {
            suppressed: vec![0, 99],
            suppressed_first: vec![1],
            forced_end: Some(5),
            ..Constraints::default()
        };
        assert_eq!(allowed(&shown, &[2], 1), [2, 3, 4, 5]);
        assert_eq!(allowed(&shown, &[2, 2], 1), [1, 2, 3, 4, 5]);
        assert_eq!(allowed(&shown, &[2, 2, 2, 2], 1), [5]);
    }
}
