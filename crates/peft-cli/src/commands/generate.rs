//! `peft generate`: continues prompts with a language model.

mod settings;

use std::io::{IsTerminal, Write};

use anyhow::Result;
use clap::Args;
use peft_run::generate::{Generating, generate};

use crate::flags::ModelArgs;
pub use settings::ChoiceArgs;

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

/// Runs the verb.
pub fn run(args: &GenerateArgs, json: bool) -> Result<()> {
    let streams = !json && args.prompt.len() == 1;
    let generating = Generating {
        model: args.model.answerer(),
        prompts: args.prompt.clone(),
        chat: args.chat,
        system: args.system.clone(),
        use_adapters: args.use_adapters.clone(),
        choice: args.choice.choice(),
    };
    let mut print = |text: &str| {
        print!("{text}");
        // A pipe may wait.
        if std::io::stdout().is_terminal() {
            std::io::stdout().flush().ok();
        }
    };
    let result = generate(&generating, streams.then_some(&mut print))?;
    if json {
        return super::print_json(&result);
    }
    if !streams {
        for answer in &result.answers {
            println!("{}{}\n", answer.prompt, answer.answer);
        }
    }
    let tokens: usize = result.answers.iter().map(|answer| answer.tokens).sum();
    eprintln!(
        "{tokens} tokens, {:.1} per second, {:.2} ms each",
        result.tokens_per_second,
        1e3 * result.seconds / tokens.max(1) as f64
    );
    Ok(())
}
