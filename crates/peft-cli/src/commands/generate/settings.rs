//! The flags by which tokens are chosen.

use clap::Args;
use peft_run::generate::Choice;

/// How tokens are chosen. What is not given is as the model's generation_config.json says, but for sampling, which --temperature turns on.
#[derive(Debug, Args)]
pub struct ChoiceArgs {
    /// Largest number of new tokens; what generation_config.json says when absent, or else 128.
    #[arg(long)]
    max_new_tokens: Option<usize>,
    /// 0 takes the likeliest token each time, also when absent; larger numbers draw more freely.
    #[arg(long, value_parser = not_negative)]
    temperature: Option<f64>,
    /// Draw among so many of the likeliest tokens; 0 is all; what generation_config.json says when absent.
    #[arg(long)]
    top_k: Option<usize>,
    /// Draw among the likeliest tokens that make up this share; what generation_config.json says when absent.
    #[arg(long, value_parser = share)]
    top_p: Option<f64>,
    /// Divides the scores of tokens that occurred; 1 changes nothing; what generation_config.json says when absent.
    #[arg(long, value_parser = positive)]
    repetition_penalty: Option<f64>,
    /// Ends an answer before this text; may be repeated.
    #[arg(long)]
    stop: Vec<String>,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl ChoiceArgs {
    /// The same for the library.
    pub fn choice(&self) -> Choice {
        Choice {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            stop: self.stop.clone(),
            seed: self.seed,
        }
    }
}

fn number(text: &str, fits: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && fits(value) => Ok(value),
        _ => Err(format!("expected {expected}")),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0, "0 or a larger number")
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0, "a number above 0")
}

fn share(text: &str) -> Result<f64, String> {
    number(
        text,
        |value| value > 0.0 && value <= 1.0,
        "a share above 0 and up to 1",
    )
}
