//! Continuing prompts with a language model.

mod file;
mod settings;
mod texts;

use std::time::Instant;

use peft_core::RowAdapters;
use peft_models::generate::generate as continued;
use peft_train::data::{ChatContext, TextTokenizer};
use serde::Serialize;
use serde_json::json;

use crate::adapter_arg::{BASE, unknown_adapter};
use crate::answerer::Answerer;
use crate::companions::Companions;
use crate::device;
use crate::end_tokens::EndTokens;
use crate::open::{self, OpenedCausal};
use crate::{Error, Result};
pub use settings::Choice;
pub(crate) use settings::Settings;
pub(crate) use texts::Texts;

/// What to continue, and how.
#[derive(Debug)]
pub struct Generating {
    /// Model and adapters.
    pub model: Answerer,
    /// Texts to continue, together.
    pub prompts: Vec<String>,
    /// Put each prompt as a user's message through the model's chat template.
    pub chat: bool,
    /// A system message before it.
    pub system: Option<String>,
    /// Adapter of each prompt by name (`base` for none), as many as prompts; when empty the last adapter serves all.
    pub use_adapters: Vec<String>,
    /// How tokens are chosen.
    pub choice: Choice,
}

/// The answer to one prompt.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The text that was continued.
    pub prompt: String,
    /// What came of it.
    pub answer: String,
    /// New tokens, those of a stop text included.
    pub tokens: usize,
}

/// All answers, and how long they took.
#[derive(Debug, Serialize)]
pub struct GenerateResult {
    /// One for each prompt, in their order.
    pub answers: Vec<Answer>,
    /// How long it took.
    pub seconds: f64,
    /// New tokens of all prompts per second, reading the prompts included.
    pub tokens_per_second: f64,
}

/// Continues every prompt. Where a single one is continued and somebody looks, `show` gets the prompt and then the answer, piece by piece.
///
/// # Errors
/// A model or an adapter that cannot be read, a prompt that leaves no room, names of adapters that do not fit.
pub fn generate(args: &Generating, show: Option<&mut dyn FnMut(&str)>) -> Result<GenerateResult> {
    args.model.run(|| all(args, show))
}

fn all(args: &Generating, show: Option<&mut dyn FnMut(&str)>) -> Result<GenerateResult> {
    let device = device::open(&args.model.device)?;
    let opened = open::answering_causal(args.model.base(), &args.model.adapters, &device)?;
    let limit = opened.model.decoder.config().max_positions;
    let companions = args.model.companions()?;
    let tokenizer = companions.tokenizer(&opened.config, limit)?.unlimited()?;
    let prompts = prompts(args, &companions, &tokenizer)?;
    let ends = EndTokens::read(&companions, &opened.config, &tokenizer)?;
    let settings = Settings::new(&args.choice, companions.generation()?)?;
    let room = room(settings.max_new_tokens, &prompts, limit)?;
    let options = settings.generation(ends.stops, room);
    let rows = rows(args, &opened, &device)?;
    let show = show.filter(|_| args.prompts.len() == 1);
    let mut texts = Texts::new(&tokenizer, &args.prompts, &settings.stop, show);
    let start = Instant::now();
    let answers = continued(
        &opened.model,
        &prompts,
        &options,
        rows.as_ref(),
        |row, token| texts.add(row, token),
    )?;
    let seconds = start.elapsed().as_secs_f64();
    let tokens: usize = answers.iter().map(Vec::len).sum();
    Ok(GenerateResult {
        answers: texts.finish(&answers)?,
        seconds,
        tokens_per_second: tokens as f64 / seconds,
    })
}

/// The tokens of every prompt.
fn prompts(
    args: &Generating,
    companions: &Companions,
    tokenizer: &TextTokenizer,
) -> Result<Vec<Vec<u32>>> {
    if !args.chat {
        let ids = args
            .prompts
            .iter()
            .map(|prompt| tokenizer.ids(prompt, true));
        return Ok(ids.collect::<Result<_, _>>()?);
    }
    let Some(template) = companions.template()? else {
        return Err(Error::Usage(format!(
            "--chat: {} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json), nor has the adapter; \
             give a folder that has one with --tokenizer",
            args.model.model.display()
        )));
    };
    let ids = args.prompts.iter().map(|prompt| {
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
fn room(max_new_tokens: usize, prompts: &[Vec<u32>], limit: usize) -> Result<usize> {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    if longest >= limit {
        return Err(Error::Usage(format!(
            "--prompt: {longest} tokens leave no room for an answer: the model takes {limit} in all; shorten the prompt"
        )));
    }
    let room = limit - longest;
    if room < max_new_tokens {
        log::warn!(
            "the model takes {limit} tokens in all and the prompt has {longest}: at most {room} are added"
        );
    }
    Ok(max_new_tokens.min(room))
}

/// The adapter of each prompt, where prompts have their own.
fn rows(
    args: &Generating,
    opened: &OpenedCausal,
    device: &burn::tensor::Device,
) -> Result<Option<RowAdapters>> {
    if args.use_adapters.is_empty() {
        return Ok(None);
    }
    if args.use_adapters.len() != args.prompts.len() {
        return Err(Error::Usage(format!(
            "--use-adapters: expected one name for each of {} prompts, found {}",
            args.prompts.len(),
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
        let known = opened.adapters.iter().map(String::as_str);
        return Err(unknown_adapter(unknown, known));
    }
    Ok(Some(RowAdapters::new(&names, device)))
}
