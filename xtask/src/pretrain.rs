//! `cargo xtask pretrain`: makes the small model that `peft quickstart` brings along, again.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::shell::Step;

/// Arguments of `cargo xtask pretrain`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder to write, from the workspace's root.
    #[arg(long, default_value = "crates/peft-run/assets/tiny")]
    out: PathBuf,
    /// Optimizer steps.
    #[arg(long, default_value_t = 3000)]
    steps: usize,
    /// Decides the language, the masks and the first weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The command that pretrains.
fn step(arguments: &Arguments) -> Step {
    let rest = [
        arguments.out.display().to_string(),
        arguments.steps.to_string(),
        arguments.seed.to_string(),
    ];
    Step::new("cargo run -p peft-train --example pretrain --").with_arguments(&rest)
}

/// Pretrains the model; takes a few minutes.
///
/// # Errors
/// The program does not compile, or the folder cannot be written.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    step(arguments).run(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_steps_and_seed_reach_the_program_in_order() {
        let arguments = Arguments {
            out: "somewhere".into(),
            steps: 20,
            seed: 5,
        };
        assert_eq!(
            step(&arguments).line(),
            "cargo run -p peft-train --example pretrain -- somewhere 20 5"
        );
    }
}
