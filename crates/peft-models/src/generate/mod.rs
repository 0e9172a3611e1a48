//! Continuing texts token by token, with a cache of keys and values.

mod constraints;
mod sampling;

use burn::tensor::Tensor;
use peft_core::{Pass, RowAdapters};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use constraints::Constraints;
use constraints::Standing;
pub use sampling::Sampling;

use crate::causal_batch::CausalBatch;
use crate::causal_lm::CausalLm;
use crate::decoder::KvCache;
use crate::error::ModelError;

/// How to continue.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Largest number of tokens to add to each text.
    pub max_new_tokens: usize,
    /// Which token comes next.
    pub sampling: Sampling,
    /// Which tokens may not.
    pub constraints: Constraints,
    /// Tokens that end a text; they are not part of the answer.
    pub stop_tokens: Vec<u32>,
    /// Seed of the choices; each row draws from a stream of its own.
    pub seed: u64,
}

/// Whether a row goes on after a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It does.
    Continue,
    /// It ends here; the token that was just given stays in the answer.
    Stop,
}

/// Continues every prompt, and gives the new tokens of each.
///
/// `rows` names an adapter for each prompt; without it the active adapters serve all. `on_token` gets every new token with the index of
/// its prompt as soon as it is chosen, and decides whether that row goes on.
///
/// # Errors
/// [`ModelError::Batch`] for an empty prompt, [`ModelError::OutOfRange`] when a prompt with its answer could become longer than
/// the model's positions or has an unknown token, and [`ModelError::Sampling`] when the model's scores are not finite.
pub fn generate(
    model: &CausalLm,
    prompts: &[Vec<u32>],
    options: &Generation,
    rows: Option<&RowAdapters>,
    on_token: impl FnMut(usize, u32) -> Progress,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let device = model.decoder.words.table.weight.device();
    let batch = CausalBatch::left_padded(prompts, &device)?;
    let course = Course {
        model,
        options,
        rows,
    };
    course.run(batch, &mut KvCache::default(), prompts, on_token)
}

/// What a model has read of a text, so that a longer one that begins with it is not read anew: a conversation that goes on.
#[derive(Debug, Default)]
pub struct Reading {
    cache: KvCache,
    tokens: Vec<u32>,
}

impl Reading {
    /// Continues a prompt by the active adapters, as [`generate`] does, and keeps what was read and written. A prompt that does not begin
    /// with what is kept is read from its beginning.
    ///
    /// Whoever changes the model or its adapters begins with a new reading.
    ///
    /// # Errors
    /// As [`generate`].
    pub fn generate(
        &mut self,
        model: &CausalLm,
        prompt: &[u32],
        options: &Generation,
        mut on_token: impl FnMut(u32) -> Progress,
    ) -> Result<Vec<u32>, ModelError> {
        let device = model.decoder.words.table.weight.device();
        let known = std::mem::take(self);
        let is_longer = prompt.len() > known.tokens.len() && prompt.starts_with(&known.tokens);
        let (batch, mut cache) = match is_longer && !known.tokens.is_empty() {
            true => {
                let rest = prompt[known.tokens.len()..].to_vec();
                (known.cache.continued(&[rest], &device)?, known.cache)
            }
            false => {
                let whole = [prompt.to_vec()];
                (
                    CausalBatch::left_padded(&whole, &device)?,
                    KvCache::default(),
                )
            }
        };
        let course = Course {
            model,
            options,
            rows: None,
        };
        let prompts = [prompt.to_vec()];
        let mut answers = course.run(batch, &mut cache, &prompts, |_, token| on_token(token))?;
        let answer = answers.pop().unwrap_or_default();
        self.tokens = [prompt, &answer].concat();
        // The last token was chosen and not read yet.
        self.tokens.truncate(cache.seen());
        self.cache = cache;
        Ok(answer)
    }
}

/// A model that continues texts.
struct Course<'a> {
    model: &'a CausalLm,
    options: &'a Generation,
    rows: Option<&'a RowAdapters>,
}

impl Course<'_> {
    /// Continues the prompts, of which the batch has what the cache has not seen.
    fn run(
        &self,
        mut batch: CausalBatch,
        cache: &mut KvCache,
        prompts: &[Vec<u32>],
        mut on_token: impl FnMut(usize, u32) -> Progress,
    ) -> Result<Vec<Vec<u32>>, ModelError> {
        let Self {
            model,
            options,
            rows,
        } = *self;
        let device = model.decoder.words.table.weight.device();
        model.decoder.check(&batch)?;
        check_length(model, prompts, options)?;
        let mut states: Vec<Row> = (0..)
            .zip(prompts)
            .map(|(at, prompt)| Row::new(prompt, options.seed, at))
            .collect();
        for _ in 0..options.max_new_tokens {
            let mut pass = match rows {
                Some(rows) => Pass::eval().with_rows(rows),
                None => Pass::eval(),
            };
            let scores = next_scores(model, &batch, cache, &mut pass);
            let vocab = scores.len() / states.len();
            let mut chosen = Vec::with_capacity(states.len());
            for (at, (row, scores)) in states.iter_mut().zip(scores.chunks(vocab)).enumerate() {
                chosen.push(row.step(at, scores, options, &mut on_token)?);
            }
            if states.iter().all(|row| row.ended) {
                break;
            }
            let next: Vec<Vec<u32>> = chosen.into_iter().map(|token| vec![token]).collect();
            batch = cache.continued(&next, &device)?;
        }
        Ok(states.into_iter().map(Row::answer).collect())
    }
}

/// A text while it grows.
#[derive(Debug)]
struct Row {
    tokens: Vec<u32>,
    prompt: usize,
    rng: ChaCha8Rng,
    ended: bool,
}

impl Row {
    fn new(prompt: &[u32], seed: u64, at: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(at);
        Self {
            tokens: prompt.to_vec(),
            prompt: prompt.len(),
            rng,
            ended: false,
        }
    }

    /// Chooses the next token; a row that has ended repeats its last one, which nobody reads.
    fn step(
        &mut self,
        at: usize,
        scores: &[f32],
        options: &Generation,
        on_token: &mut impl FnMut(usize, u32) -> Progress,
    ) -> Result<u32, ModelError> {
        if self.ended {
            return Ok(self.tokens[self.tokens.len() - 1]);
        }
        let standing = Standing {
            tokens: &self.tokens,
            prompt: self.prompt,
            max_new_tokens: options.max_new_tokens,
            ends: &options.stop_tokens,
        };
        let scores = options.constraints.apply(scores, standing);
        let token = options
            .sampling
            .choose(&scores, &self.tokens, &mut self.rng)
            .ok_or(ModelError::Sampling { row: at })?;
        if options.stop_tokens.contains(&token) {
            self.ended = true;
            return Ok(token);
        }
        self.tokens.push(token);
        self.ended = on_token(at, token) == Progress::Stop;
        Ok(token)
    }

    fn answer(mut self) -> Vec<u32> {
        self.tokens.split_off(self.prompt)
    }
}

/// Scores of the token after the last of every row, row by row.
fn next_scores(
    model: &CausalLm,
    batch: &CausalBatch,
    cache: &mut KvCache,
    pass: &mut Pass<'_>,
) -> Vec<f32> {
    let hidden = model.decoder.hidden(batch, Some(cache), pass);
    let last: Tensor<3> = hidden.narrow(1, batch.seq() - 1, 1);
    let logits = model.predict(last, pass);
    peft_core::read(logits).iter::<f32>().collect()
}

fn check_length(
    model: &CausalLm,
    prompts: &[Vec<u32>],
    options: &Generation,
) -> Result<(), ModelError> {
    let limit = model.decoder.config().max_positions;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let found = longest.saturating_add(options.max_new_tokens);
    if found <= limit {
        return Ok(());
    }
    Err(ModelError::OutOfRange {
        what: "length of prompt and answer",
        found,
        limit,
    })
}
