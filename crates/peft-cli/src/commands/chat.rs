//! `peft chat`: a conversation on the terminal.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result};
use clap::Args;
use peft_run::chat::{Chatting, Conversation, Turn};

use super::generate::ChoiceArgs;
use crate::flags::ModelArgs;
use crate::interrupt::Pause;

/// What can be done between two turns.
const HELP: &str = "/adapter NAME  another adapter answers, or base   /adapters  their names\n\
    /system TEXT   a new conversation with this system message\n\
    /new           a new conversation\n\
    /exit          the end (or Ctrl-D); Ctrl-C ends an answer";

/// Model, adapters and how answers are chosen.
#[derive(Debug, Args)]
pub struct ChatArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// A system message before everything.
    #[arg(long)]
    system: Option<String>,
    #[command(flatten)]
    choice: ChoiceArgs,
}

/// Runs the verb: a turn for each line of stdin.
pub fn run(args: &ChatArgs, json: bool) -> Result<()> {
    let mut conversation = Conversation::open(&Chatting {
        model: args.model.answerer(),
        system: args.system.clone(),
        choice: args.choice.choice(),
    })?;
    let pause = Pause::watch()?;
    let asks = std::io::stdin().is_terminal();
    if asks {
        eprintln!(
            "{} with {}; /help says what else there is",
            conversation.model_type(),
            conversation.adapter()
        );
    }
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if asks {
            eprint!("\n> ");
        }
        let Some(line) = lines.next() else {
            return Ok(());
        };
        let line = line.context("cannot read stdin")?;
        let done = match line.trim().strip_prefix('/') {
            Some(command) => match command_of(command, &mut conversation) {
                Ok(Next::GoesOn) => Ok(()),
                Ok(Next::Ends) => return Ok(()),
                Err(error) => Err(error),
            },
            None if line.trim().is_empty() => Ok(()),
            None => say(&line, &mut conversation, &pause, json),
        };
        match done {
            // Whoever types can go on; a script is told by the exit code.
            Err(error) if asks => eprintln!("error: {error:#}"),
            done => done?,
        }
    }
}

/// Whether the conversation goes on.
enum Next {
    GoesOn,
    Ends,
}

fn command_of(command: &str, conversation: &mut Conversation) -> Result<Next> {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    match (word, rest.trim()) {
        ("exit" | "quit" | "bye", "") => return Ok(Next::Ends),
        ("help" | "?", "") => eprintln!("{HELP}"),
        ("new" | "reset" | "clear", "") => conversation.restart(None),
        ("system", text) if !text.is_empty() => conversation.restart(Some(text.to_owned())),
        ("adapters", "") => {
            let names: Vec<&str> = conversation.names().collect();
            eprintln!("{}", names.join(", "));
        }
        ("adapter", name) if !name.is_empty() => {
            conversation.choose(name)?;
            eprintln!("{} answers from now on", conversation.adapter());
        }
        _ => anyhow::bail!(peft_run::Error::Usage(format!(
            "/{command}: no such command\n{HELP}"
        ))),
    }
    Ok(Next::GoesOn)
}

fn say(line: &str, conversation: &mut Conversation, pause: &Pause, json: bool) -> Result<()> {
    let mut print = |text: &str| {
        if !json {
            print!("{text}");
            std::io::stdout().flush().ok();
        }
    };
    pause.begin();
    let turn = conversation.say(line, &mut print, &|| !pause.is_asked());
    pause.end();
    let turn = turn?;
    if json {
        println!("{}", serde_json::to_string(&turn).context("writing JSON")?);
        return Ok(());
    }
    let Turn {
        tokens,
        first_token_seconds,
        tokens_per_second,
        ..
    } = turn;
    eprintln!(
        "[{tokens} tokens; the first after {first_token_seconds:.2} s, then {tokens_per_second:.1} per second]"
    );
    Ok(())
}
