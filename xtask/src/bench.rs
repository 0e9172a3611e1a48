//! `cargo xtask bench`: the Criterion benchmarks, with further arguments passed through.

use std::path::Path;

use clap::Args;

use crate::shell::Step;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Passed on to `cargo bench`, for example `--bench linear -- --save-baseline before`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// The command that runs the benchmarks.
fn step(arguments: &Arguments) -> Step {
    Step::new("cargo bench -p peft-benches").with_arguments(&arguments.rest)
}

/// Runs the benchmarks.
///
/// # Errors
/// A benchmark does not compile or does not finish.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    step(arguments).run(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_arguments_reach_cargo_bench_in_order() {
        let rest = ["--bench", "linear", "--", "--quick"]
            .map(str::to_owned)
            .to_vec();
        let line = step(&Arguments { rest }).line();
        assert_eq!(
            line,
            "cargo bench -p peft-benches --bench linear -- --quick"
        );
    }
}
