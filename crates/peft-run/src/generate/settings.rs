//! How texts are continued: as was asked for, else as the model's `generation_config.json` says, else by the likeliest tokens.

use std::path::PathBuf;

use peft_models::generate::{Constraints, Generation, Sampling};
use serde_json::{Map, Value};

use super::file::GenerationFile;
use crate::Result;

/// New tokens where nobody says how many.
const NEW_TOKENS: usize = 128;

/// How tokens are chosen. What is absent is as the model's `generation_config.json` says, but for sampling, which a temperature turns on.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Largest number of new tokens; 128 where the file says nothing either.
    pub max_new_tokens: Option<usize>,
    /// 0 takes the likeliest token each time, also when absent; larger numbers draw more freely.
    pub temperature: Option<f64>,
    /// Draw among so many of the likeliest tokens; 0 is all.
    pub top_k: Option<usize>,
    /// Draw among the likeliest tokens that make up this share, above 0 and up to 1.
    pub top_p: Option<f64>,
    /// Divides the scores of tokens that occurred; above 0; 1 changes nothing.
    pub repetition_penalty: Option<f64>,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Seed of the draws.
    pub seed: u64,
}

/// Everything that decides a continuation but the model and the prompt.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Largest number of new tokens that was asked for.
    pub(crate) max_new_tokens: usize,
    /// Texts that end an answer.
    pub(crate) stop: Vec<String>,
    sampling: Sampling,
    constraints: Constraints,
    seed: u64,
}

impl Settings {
    /// By flags and file; what of the file is applied, and what is not, is said on stderr.
    ///
    /// # Errors
    /// A field of the file that is not what it should be.
    pub(crate) fn new(args: &Choice, file: Option<(PathBuf, Map<String, Value>)>) -> Result<Self> {
        let file = file.map(GenerationFile::from).unwrap_or_default();
        let (temperature, top_k, top_p) = (
            args.temperature.unwrap_or(0.0),
            file.count("top_k")?,
            file.number("top_p", share_of_all, "a share above 0 and up to 1")?,
        );
        let penalty = file.number(
            "repetition_penalty",
            |value| value > 0.0,
            "a number above 0",
        )?;
        let draws = temperature > 0.0;
        file.say(
            draws,
            args.repetition_penalty.is_some(),
            args.max_new_tokens.is_some(),
        );
        if args.temperature.is_none() {
            file.say_sampling()?;
        }
        Ok(Self {
            max_new_tokens: (args.max_new_tokens)
                .or(file.count("max_new_tokens")?)
                .unwrap_or(NEW_TOKENS),
            stop: [args.stop.clone(), file.texts("stop_strings")?].concat(),
            sampling: Sampling {
                temperature,
                top_k: args.top_k.or(top_k).unwrap_or(0),
                top_p: args.top_p.or(top_p).unwrap_or(1.0),
                repetition_penalty: args.repetition_penalty.or(penalty).unwrap_or(1.0),
            },
            constraints: file.constraints()?,
            seed: args.seed,
        })
    }

    /// The same for the library, with the tokens that end a text and the room that there is.
    pub(crate) fn generation(&self, stop_tokens: Vec<u32>, max_new_tokens: usize) -> Generation {
        Generation {
            max_new_tokens,
            sampling: self.sampling.clone(),
            constraints: self.constraints.clone(),
            stop_tokens,
            seed: self.seed,
        }
    }
}

/// Whether a number is a share of all.
fn share_of_all(value: f64) -> bool {
    value > 0.0 && value <= 1.0
}
