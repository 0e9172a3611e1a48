//! `peft generate`: continues prompts with a language model.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use peft_core::RowAdapters;
use peft_models::generate::{Generation, Progress, Sampling, generate};
use peft_train::data::{ChatContext, ChatTemplate, TextTokenizer};
use serde::Serialize;
use serde_json::json;

use crate::adapter_arg::BASE;
use crate::args::ModelArgs;
use crate::end_tokens::EndTokens;
use crate::open::{self, OpenedCausal};
use crate::{data, device};

/// What to continue, and how.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Text to continue; several are continued together.
    #[arg(long, required = true)]
    prompt: Vec<String>,
    /// Put each prompt as a user's message through the model's chat template.
    #[arg(long)]
    chat: bool,
    /// A system message before it.
    #[arg(long, requires = "chat")]
    system: Option<String>,
    /// Adapter of each prompt by NAME (`base` for none), as many as prompts; by default the last adapter given serves all.
    #[arg(long, value_delimiter = ',')]
    use_adapters: Vec<String>,
    /// Largest number of new tokens.
    #[arg(long, default_value_t = 128)]
    max_new_tokens: usize,
    /// 0 takes the likeliest token each time; larger numbers draw more freely.
    #[arg(long, default_value_t = 0.0, value_parser = not_negative)]
    temperature: f64,
    /// Draw among so many of the likeliest tokens; 0 is all.
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Draw among the likeliest tokens that make up this share.
    #[arg(long, default_value_t = 1.0, value_parser = share)]
    top_p: f64,
    /// Divides the scores of tokens that occurred; 1 changes nothing.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    repetition_penalty: f64,
    /// Ends an answer before this text; may be repeated.
    #[arg(long)]
    stop: Vec<String>,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// The answer to one prompt.
#[derive(Debug, Serialize)]
struct Answer {
    prompt: String,
    answer: String,
    /// New tokens, those of a stop text included.
    tokens: usize,
}

/// All answers, and how long they took.
#[derive(Debug, Serialize)]
struct GenerateResult {
    answers: Vec<Answer>,
    seconds: f64,
    /// New tokens of all prompts per second, reading the prompts included.
    tokens_per_second: f64,
}

/// Runs the verb.
pub fn run(args: &GenerateArgs, json: bool) -> Result<()> {
    let device = device::open(&args.model.device)?;
    let opened = open::answering_causal(&args.model.model, &args.model.adapter, &device)?;
    let limit = opened.model.decoder.config().max_positions;
    let tokenizer = data::tokenizer(&args.model.model, &opened.config, limit)?.unlimited()?;
    let prompts = prompts(args, &tokenizer)?;
    let ends = EndTokens::read(&args.model.model, &opened.config, &tokenizer)?;
    let options = options(args, ends, room(args, &prompts, limit)?);
    let rows = rows(args, &opened, &device)?;
    let streams = !json && args.prompt.len() == 1;
    let mut texts = Texts::new(&tokenizer, args, streams);
    let start = Instant::now();
    let answers = generate(
        &opened.model,
        &prompts,
        &options,
        rows.as_ref(),
        |row, token| texts.add(row, token),
    )?;
    let seconds = start.elapsed().as_secs_f64();
    let tokens: usize = answers.iter().map(Vec::len).sum();
    let result = GenerateResult {
        answers: texts.finish(&answers)?,
        seconds,
        tokens_per_second: tokens as f64 / seconds,
    };
    if json {
        return super::print_json(&result);
    }
    if !streams {
        for answer in &result.answers {
            println!("{}{}\n", answer.prompt, answer.answer);
        }
    }
    eprintln!(
        "{tokens} tokens, {:.1} per second, {:.2} ms each",
        result.tokens_per_second,
        1e3 * seconds / tokens.max(1) as f64
    );
    Ok(())
}

/// The tokens of every prompt.
fn prompts(args: &GenerateArgs, tokenizer: &TextTokenizer) -> Result<Vec<Vec<u32>>> {
    if !args.chat {
        let ids = args.prompt.iter().map(|prompt| tokenizer.ids(prompt, true));
        return Ok(ids.collect::<Result<_, _>>()?);
    }
    let Some(template) = ChatTemplate::load(&args.model.model)? else {
        anyhow::bail!(crate::Usage(format!(
            "--chat: {} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)",
            args.model.model.display()
        )));
    };
    let ids = args.prompt.iter().map(|prompt| {
        let system = args
            .system
            .iter()
            .map(|text| json!({"role": "system", "content": text}));
        let user = json!({"role": "user", "content": prompt});
        let messages: Vec<_> = system.chain([user]).collect();
        // The template writes the special tokens itself.
        Ok(tokenizer.ids(
            &template.render(&messages, &ChatContext::default(), true)?,
            false,
        )?)
    });
    ids.collect()
}

/// How many tokens are added at most: no more than the model has places for behind the longest prompt, which is said on stderr.
fn room(args: &GenerateArgs, prompts: &[Vec<u32>], limit: usize) -> Result<usize> {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    if longest >= limit {
        anyhow::bail!(crate::Usage(format!(
            "--prompt: {longest} tokens leave no room for an answer: the model takes {limit} in all; shorten the prompt"
        )));
    }
    let room = limit - longest;
    if room < args.max_new_tokens {
        eprintln!(
            "warning: the model takes {limit} tokens in all and the prompt has {longest}: at most {room} are added"
        );
    }
    Ok(args.max_new_tokens.min(room))
}

fn options(args: &GenerateArgs, ends: EndTokens, max_new_tokens: usize) -> Generation {
    Generation {
        max_new_tokens,
        sampling: Sampling {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            repetition_penalty: args.repetition_penalty,
        },
        stop_tokens: ends.stops,
        seed: args.seed,
    }
}

/// The adapter of each prompt, where prompts have their own.
fn rows(
    args: &GenerateArgs,
    opened: &OpenedCausal,
    device: &burn::tensor::Device,
) -> Result<Option<RowAdapters>> {
    if args.use_adapters.is_empty() {
        return Ok(None);
    }
    if args.use_adapters.len() != args.prompt.len() {
        anyhow::bail!(crate::Usage(format!(
            "--use-adapters: expected one name for each of {} prompts, found {}",
            args.prompt.len(),
            args.use_adapters.len()
        )));
    }
    let names: Vec<Option<&str>> = args
        .use_adapters
        .iter()
        .map(|name| Some(name.as_str()).filter(|name| *name != BASE))
        .collect();
    if let Some(unknown) = names
        .iter()
        .flatten()
        .find(|name| !opened.adapters.iter().any(|known| known == *name))
    {
        anyhow::bail!(crate::Usage(format!(
            "no adapter named `{unknown}`; expected `{BASE}` or one of: {}",
            opened.adapters.join(", ")
        )));
    }
    Ok(Some(RowAdapters::new(&names, device)))
}

/// The answers while they grow: printed as they come, and ended at stop texts.
struct Texts<'a> {
    tokenizer: &'a TextTokenizer,
    args: &'a GenerateArgs,
    tokens: Vec<Vec<u32>>,
    /// Bytes of the first answer that are on the terminal.
    shown: usize,
    streams: bool,
}

impl<'a> Texts<'a> {
    fn new(tokenizer: &'a TextTokenizer, args: &'a GenerateArgs, streams: bool) -> Self {
        if streams {
            print!("{}", args.prompt[0]);
            flush();
        }
        Self {
            tokenizer,
            args,
            tokens: vec![Vec::new(); args.prompt.len()],
            shown: 0,
            streams,
        }
    }

    fn add(&mut self, row: usize, token: u32) -> Progress {
        if !self.streams && self.args.stop.is_empty() {
            return Progress::Continue;
        }
        self.tokens[row].push(token);
        let Ok(text) = self.tokenizer.text(&self.tokens[row]) else {
            return Progress::Stop;
        };
        let stopped = self.args.stop.iter().any(|stop| text.contains(stop));
        if self.streams {
            let end = if stopped {
                self.cut(&text).len()
            } else {
                self.safe(&text)
            };
            if end > self.shown {
                print!("{}", &text[self.shown..end]);
                flush();
                self.shown = end;
            }
        }
        if stopped {
            Progress::Stop
        } else {
            Progress::Continue
        }
    }

    /// How much of a growing text is final: no half characters, no beginning of a stop text.
    fn safe(&self, text: &str) -> usize {
        let whole = text.trim_end_matches('\u{fffd}').len();
        let starts = |stop: &String| {
            (1..=stop.len()).rev().find(|length| {
                stop.is_char_boundary(*length) && text[..whole].ends_with(&stop[..*length])
            })
        };
        let held = self.args.stop.iter().filter_map(starts).max();
        whole - held.unwrap_or(0)
    }

    /// The text before the first stop text.
    fn cut<'t>(&self, text: &'t str) -> &'t str {
        let ends = self.args.stop.iter().filter_map(|stop| text.find(stop));
        &text[..ends.min().unwrap_or(text.len())]
    }

    fn finish(self, answers: &[Vec<u32>]) -> Result<Vec<Answer>> {
        let mut finished = Vec::with_capacity(answers.len());
        for (prompt, tokens) in self.args.prompt.iter().zip(answers) {
            let text = self.tokenizer.text(tokens)?;
            finished.push(Answer {
                prompt: prompt.clone(),
                answer: self.cut(&text).to_owned(),
                tokens: tokens.len(),
            });
        }
        if self.streams {
            let rest = finished.first().map_or("", |answer| answer.answer.as_str());
            println!("{}", rest.get(self.shown..).unwrap_or(""));
        }
        Ok(finished)
    }
}

/// Shows what was printed at once; a pipe may wait.
fn flush() {
    if std::io::stdout().is_terminal() {
        std::io::stdout().flush().ok();
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
