//! Prompts that a language model continues after every evaluation, to show what it has learnt.

use peft_models::CausalLm;
use peft_models::generate::{Constraints, Generation, Progress, Sampling, generate};

use super::Sample;
use crate::TrainError;
use crate::data::TextTokenizer;

/// Prompts with their tokens.
#[derive(Debug, Clone)]
pub struct Prompts {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    tokenizer: TextTokenizer,
    generation: Generation,
}

impl Prompts {
    /// Continued by the likeliest tokens, `max_new_tokens` at most and up to one of `stop_tokens`.
    ///
    /// # Errors
    /// When a prompt becomes no tokens, or one that the model does not have.
    pub fn new(
        texts: Vec<String>,
        tokenizer: TextTokenizer,
        max_new_tokens: usize,
        stop_tokens: Vec<u32>,
    ) -> Result<Self, TrainError> {
        let ids = texts.iter().map(|text| tokenizer.ids(text, true));
        let ids: Vec<Vec<u32>> = ids.collect::<Result<_, _>>()?;
        if let Some(index) = ids.iter().position(Vec::is_empty) {
            return Err(tokenizer.no_tokens(index, &texts[index]));
        }
        Ok(Self {
            ids,
            texts,
            tokenizer,
            generation: Generation {
                max_new_tokens,
                sampling: Sampling::GREEDY,
                constraints: Constraints::default(),
                stop_tokens,
                seed: 0,
            },
        })
    }

    /// How many positions the longest prompt needs with its answer.
    #[must_use]
    pub fn longest(&self) -> usize {
        let longest = self.ids.iter().map(Vec::len).max().unwrap_or(0);
        longest.saturating_add(self.generation.max_new_tokens)
    }

    /// What `model` makes of each.
    ///
    /// # Errors
    /// When a prompt does not fit the model, or its scores are not finite.
    pub fn continued(&self, model: &CausalLm) -> Result<Vec<Sample>, TrainError> {
        let answers = generate(model, &self.ids, &self.generation, None, |_, _| {
            Progress::Continue
        })?;
        let sample = |(prompt, answer): (&String, &Vec<u32>)| {
            Ok(Sample {
                prompt: prompt.clone(),
                answer: self.tokenizer.text(answer)?,
            })
        };
        self.texts.iter().zip(&answers).map(sample).collect()
    }
}
