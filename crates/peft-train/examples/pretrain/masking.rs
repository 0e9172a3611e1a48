//! Sentences with some words hidden.

use anyhow::Result;
use peft_train::data::{Encoded, Example, Target, TextTokenizer};
use peft_train::synthetic::{Grammar, SPECIAL_TOKENS, vocabulary};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::tokenizer::special;

/// Share of the words to be guessed.
const HIDDEN: f64 = 0.15;

/// A sentence as the model sees it, and the words it has to guess.
#[derive(Debug, Clone)]
pub(crate) struct Masked {
    /// What the model sees.
    pub(crate) seen: Encoded,
    /// Position and true word.
    pub(crate) hidden: Vec<(usize, u32)>,
    /// The true tokens.
    tokens: Vec<u32>,
}

impl Masked {
    /// The true words, special tokens left out.
    pub(crate) fn words(&self) -> impl Iterator<Item = u32> + '_ {
        self.tokens.iter().copied().filter(|word| is_word(*word))
    }
}

fn is_word(token: u32) -> bool {
    token as usize >= SPECIAL_TOKENS.len()
}

/// `count` sentences of the grammar started from `seed`, 15 % of their words chosen: 80 % of those become `[MASK]`, 10 %
/// another word, 10 % stay as they are. At least one word of each sentence is chosen.
pub(crate) fn masked_sentences(
    tokenizer: &TextTokenizer,
    seed: u64,
    count: usize,
) -> Result<Vec<Masked>> {
    let mut grammar = Grammar::new(seed);
    let examples: Vec<Example> = (0..count)
        .map(|_| {
            let passage = grammar.passage();
            Example {
                text: passage.text,
                pair: passage.pair,
                target: Target::None,
            }
        })
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1);
    let mask = special("[MASK]")?;
    let encoded = tokenizer.encode(&examples)?.examples;
    Ok(encoded
        .into_iter()
        .map(|tokens| hide(tokens, mask, &mut rng))
        .collect())
}

fn hide(mut seen: Encoded, mask: u32, rng: &mut ChaCha8Rng) -> Masked {
    let tokens = seen.ids.clone();
    let first_word = SPECIAL_TOKENS.len() as u32;
    let last_word = vocabulary().len() as u32 - 1;
    let words: Vec<usize> = (0..seen.ids.len())
        .filter(|place| is_word(seen.ids[*place]))
        .collect();
    let mut chosen: Vec<usize> = words
        .iter()
        .copied()
        .filter(|_| rng.random::<f64>() < HIDDEN)
        .collect();
    if chosen.is_empty() {
        chosen.push(words[rng.random_range(0..words.len() as u32) as usize]);
    }
    let hidden = chosen
        .iter()
        .map(|place| (*place, seen.ids[*place]))
        .collect();
    for place in chosen {
        match rng.random_range(0..10_u32) {
            0 => {}
            1 => seen.ids[place] = rng.random_range(first_word..=last_word),
            _ => seen.ids[place] = mask,
        }
    }
    Masked {
        seen,
        hidden,
        tokens,
    }
}
