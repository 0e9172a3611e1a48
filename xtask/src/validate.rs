//! `cargo xtask validate`: the one gate, the same on a desk and in continuous integration.
//!
//! The steps run from the cheapest to the dearest and the first failure ends the run. All of them use the dev
//! profile: benches are built by `cargo test --benches`, because `cargo bench` keeps a second set of
//! dependencies in `target/release`.

use std::{path::Path, time::Instant};

use anyhow::Context;

use crate::{device_test, shell::Step, tidy};

/// The commands after formatting and tidy, in order.
fn steps() -> Vec<Step> {
    vec![
        Step::new("cargo clippy --workspace --all-targets -- -D warnings"),
        Step::new("cargo doc --workspace --no-deps").with_variable("RUSTDOCFLAGS", "-D warnings"),
        Step::new("cargo test --workspace"),
        Step::new("cargo test --workspace --features peft-cli/parquet --test parquet"),
        device_test::on_ndarray(),
        Step::new("cargo test --workspace --benches --no-run"),
    ]
}

/// Runs every check; stops at the first that fails.
///
/// # Errors
/// A check fails: the message names its command, so that it can be run alone.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    Step::new("cargo fmt --all --check")
        .run(root)
        .context("run `cargo fmt --all` to repair")?;
    println!("$ cargo xtask tidy");
    tidy::run(root)?;
    for step in steps() {
        step.run(root)
            .context("validation stopped at the first failure")?;
    }
    println!(
        "valid: all checks passed in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_covers_the_whole_workspace_in_the_dev_profile() {
        for step in steps() {
            assert!(
                step.words.contains(&"--workspace".to_owned()),
                "{}",
                step.line()
            );
            assert!(!step.line().contains("release"), "{}", step.line());
            assert_ne!(
                step.words[1], "bench",
                "the bench profile builds all dependencies again"
            );
        }
    }

    #[test]
    fn warnings_fail_both_the_linter_and_the_documentation() {
        let lines: Vec<_> = steps().iter().map(Step::line).collect();
        assert!(lines[0].ends_with("-- -D warnings"));
        assert!(lines[1].starts_with("RUSTDOCFLAGS=\"-D warnings\""));
    }
}
