//! Chores of this workspace: `cargo xtask validate | tidy | bench | compare | compare-basis | compare-chat | device-check | test | study | torture | new-method`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool reports on its standard streams"
)]

mod bench;
mod compare;
mod compare_basis;
mod compare_chat;
mod device_check;
mod device_test;
mod edit;
mod new_method;
mod pretrain;
mod ratio;
mod shell;
mod skipped;
mod study;
mod tidy;
mod torture;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of this workspace")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// One chore, one file.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check that continuous integration runs, cheapest first.
    Validate,
    /// Check the rules that compilers do not: sizes, headers, seams, docs in step.
    Tidy,
    /// Run the benchmarks; further arguments go to `cargo bench`.
    Bench(bench::Arguments),
    /// Time a training step beside Hugging Face PEFT's.
    Compare(compare::Arguments),
    /// Time a basis of 500 adapters beside numpy's.
    CompareBasis(compare_basis::Arguments),
    /// Train a chat model from its GGUF file beside Hugging Face PEFT.
    CompareChat(compare_chat::Arguments),
    /// Build what checks a graphics processor elsewhere, or only see whether it compiles.
    DeviceCheck(device_check::Arguments),
    /// Run the contract tests of the method crates on one device.
    Test(device_test::Arguments),
    /// Make the bundled model of `peft quickstart` again, from its seed.
    Pretrain(pretrain::Arguments),
    /// Compare methods on real data and print a table.
    Study(study::Arguments),
    /// Kill runs a thousand times at random moments, and interrupt and refuse others.
    Torture,
    /// Write the skeleton of a new method.
    NewMethod(new_method::Arguments),
    /// Write the skeleton of something new.
    #[command(subcommand)]
    New(New),
}

/// `cargo xtask new method ..` is another spelling of `cargo xtask new-method ..`.
#[derive(Debug, Subcommand)]
enum New {
    /// Write the skeleton of a new method.
    Method(new_method::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = shell::workspace_root();
    let outcome = match &arguments.command {
        Command::Validate => validate::run(&root),
        Command::Tidy => tidy::run(&root),
        Command::Bench(arguments) => bench::run(&root, arguments),
        Command::Compare(arguments) => compare::run(&root, arguments),
        Command::CompareBasis(arguments) => compare_basis::run(&root, arguments),
        Command::CompareChat(arguments) => compare_chat::run(&root, arguments),
        Command::DeviceCheck(arguments) => device_check::run(&root, arguments),
        Command::Test(arguments) => device_test::run(&root, arguments),
        Command::Pretrain(arguments) => pretrain::run(&root, arguments),
        Command::Torture => torture::run(&root),
        Command::Study(arguments) => study::run(&root, arguments),
        Command::NewMethod(arguments) | Command::New(New::Method(arguments)) => {
            new_method::run(&root, arguments)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn new_method_has_two_spellings() {
        let rest = [
            "dora",
            "--crate",
            "peft-decompose",
            "--name",
            "DoRA",
            "--arxiv",
            "2402.09353",
        ];
        let joined = Arguments::try_parse_from(["xtask", "new-method"].iter().chain(&rest));
        let apart = Arguments::try_parse_from(["xtask", "new", "method"].iter().chain(&rest));
        assert!(matches!(joined.unwrap().command, Command::NewMethod(_)));
        assert!(matches!(
            apart.unwrap().command,
            Command::New(New::Method(_))
        ));
    }
}
