//! `peft`: fine-tunes, inspects and merges adapters from the command line.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or settings. stdout is data, stderr is progress.
#![recursion_limit = "256"]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]
#![allow(
    unreachable_pub,
    reason = "a binary has no public surface; pub marks what its modules offer each other"
)]

mod allocator;
mod args;
mod commands;
mod flags;
mod interrupt;
mod picture;
mod pool;
mod progress;
mod quickstart;
mod say;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use peft_core::file::input::check_limits;
use peft_run::{is_interruption, is_usage};

fn main() -> ExitCode {
    end_quietly_on_a_closed_pipe();
    say::to_stderr();
    let mut cli = Cli::parse();
    allocator::keep_memory();
    // A server's thread waits for those that compute.
    if !matches!(cli.verb, Verb::Devices(_)) {
        pool::join();
    }
    let ready = check_limits()
        .map_err(|error| peft_run::Error::Usage(error.to_string()))
        .and_then(|()| cli.verb.fetch());
    match ready.map_err(Into::into).and_then(|()| run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", report(&error));
            if is_interruption(error.as_ref()) {
                eprintln!("go on with: {}", interrupt::to_go_on(std::env::args()));
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

/// An error and its causes on one line.
fn report(error: &anyhow::Error) -> String {
    let causes = peft_core::causes(error.as_ref());
    match is_interruption(error.as_ref()) {
        true => causes,
        false => format!("error: {causes}"),
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match (is_interruption(error.as_ref()), is_usage(error.as_ref())) {
        (true, _) => interrupt::EXIT_CODE,
        (false, true) => 2,
        (false, false) => 1,
    }
}

/// `peft inspect X | head` closes our stdout early, and printing there panics: that is no failure of ours.
fn end_quietly_on_a_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>();
        if message.is_some_and(|message| message.starts_with("failed printing to stdout")) {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let json = cli.json;
    match &cli.verb {
        Verb::Quickstart(args) => commands::quickstart::run(args, json),
        Verb::Init(args) => commands::init::run(args, json),
        Verb::Methods => commands::methods::run(json),
        Verb::Devices(args) => commands::devices::run(args, json),
        Verb::Env => commands::env::run(json),
        Verb::Targets(args) => commands::targets::run(args, json),
        Verb::Data(args) => commands::data::run(args, json),
        Verb::Train(args) => commands::train::run(args, json),
        Verb::Eval(args) => commands::eval::run(args, json),
        Verb::Predict(args) => commands::predict::run(args, json),
        Verb::Generate(args) => commands::generate::run(args, json),
        Verb::Chat(args) => commands::chat::run(args, json),
        Verb::Merge(args) => commands::merge::run(args, json),
        Verb::Resize(args) => commands::resize::run(args, json),
        Verb::Convert(args) => commands::convert::run(args, json),
        Verb::Inspect(args) => commands::inspect::run(args, json),
        Verb::Validate(args) => commands::validate::run(args, json),
        Verb::Diff(args) => commands::diff::run(args, json),
        Verb::Prune(args) => commands::prune::run(args, json),
        Verb::Extract(args) => commands::extract::run(args, json),
        Verb::Combine(args) => commands::combine::run(args, json),
        Verb::Recycle(args) => commands::recycle::run(args, json),
        Verb::Plot(args) => commands::plot::run(args, json),
        Verb::Bench(args) => commands::bench::run(args, json),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use peft_core::PeftError;
    use peft_run::Error;
    use peft_train::{RunError, TrainError};

    use super::*;

    fn rank() -> PeftError {
        PeftError::Rank {
            site: "query".into(),
            rank: 0,
            limit: 8,
        }
    }

    #[test]
    fn wrong_usage_has_its_exit_code_whoever_says_so() {
        let asked = || Error::Usage("give --data".into());
        for error in [
            asked().into(),
            Err::<(), _>(asked()).context("line 3").unwrap_err(),
            Error::from(TrainError::from(rank())).into(),
            TrainError::from(rank()).into(),
            anyhow::Error::new(rank()).context("line 3"),
        ] {
            assert_eq!(exit_code(&error), 2, "{error:?}");
        }
        assert_eq!(exit_code(&anyhow::anyhow!("the disk is full")), 1);
    }

    #[test]
    fn an_interruption_is_no_error() {
        let interrupted = || {
            TrainError::from(RunError::Interrupted {
                step: 3,
                checkpoint: "run/checkpoint-3".into(),
            })
        };
        for error in [interrupted().into(), Error::from(interrupted()).into()] {
            assert_eq!(exit_code(&error), interrupt::EXIT_CODE);
            assert!(report(&error).starts_with("stopped after step 3"));
        }
    }
}
