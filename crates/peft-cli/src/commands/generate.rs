//! `peft generate`: continues prompts with a language model.

mod file;
mod settings;
mod texts;

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use peft_core::RowAdapters;
use peft_models::generate::generate;
use peft_train::data::{ChatContext, TextTokenizer};
use serde::Serialize;
use serde_json::json;

use crate::args::ModelArgs;
use peft_run::adapter_arg::BASE;
use peft_run::companions::Companions;
use peft_run::device;
use peft_run::end_tokens::EndTokens;
use peft_run::open::{self, OpenedCausal};
use settings::{ChoiceArgs, Settings};
use texts::Texts;

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
    #[command(flatten)]
    choice: ChoiceArgs,
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
    let companions = args.model.companions()?;
    let tokenizer = companions.tokenizer(&opened.config, limit)?.unlimited()?;
    let prompts = prompts(args, &companions, &tokenizer)?;
    let ends = EndTokens::read(&companions, &opened.config, &tokenizer)?;
    let settings = Settings::new(&args.choice, companions.generation()?.map(Into::into))?;
    let room = room(settings.max_new_tokens, &prompts, limit)?;
    let options = settings.generation(ends.stops, room);
    let rows = rows(args, &opened, &device)?;
    let streams = !json && args.prompt.len() == 1;
    let mut texts = Texts::new(&tokenizer, &args.prompt, &settings.stop, streams);
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
fn prompts(
    args: &GenerateArgs,
    companions: &Companions,
    tokenizer: &TextTokenizer,
) -> Result<Vec<Vec<u32>>> {
    if !args.chat {
        let ids = args.prompt.iter().map(|prompt| tokenizer.ids(prompt, true));
        return Ok(ids.collect::<Result<_, _>>()?);
    }
    let Some(template) = companions.template()? else {
        anyhow::bail!(peft_run::Usage(format!(
            "--chat: {} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json), nor has the adapter; \
             give a folder that has one with --tokenizer",
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
fn room(max_new_tokens: usize, prompts: &[Vec<u32>], limit: usize) -> Result<usize> {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    if longest >= limit {
        anyhow::bail!(peft_run::Usage(format!(
            "--prompt: {longest} tokens leave no room for an answer: the model takes {limit} in all; shorten the prompt"
        )));
    }
    let room = limit - longest;
    if room < max_new_tokens {
        eprintln!(
            "warning: the model takes {limit} tokens in all and the prompt has {longest}: at most {room} are added"
        );
    }
    Ok(max_new_tokens.min(room))
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
        anyhow::bail!(peft_run::Usage(format!(
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
        anyhow::bail!(peft_run::Usage(format!(
            "no adapter named `{unknown}`; expected `{BASE}` or one of: {}",
            opened.adapters.join(", ")
        )));
    }
    Ok(Some(RowAdapters::new(&names, device)))
}
