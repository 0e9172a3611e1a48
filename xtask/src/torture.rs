//! `cargo xtask torture`: kills runs a thousand times at random moments and compares what they end with.

use std::path::Path;

use crate::shell::Step;

/// The command that does it.
fn step() -> Step {
    Step::new("cargo test --workspace --test moments -- --ignored --nocapture")
}

/// Runs the test that the gate leaves out; takes many minutes.
///
/// # Errors
/// A run that ended with other bytes.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    step().run(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_that_the_gate_ignores_is_run() {
        assert!(step().line().contains("--test moments -- --ignored"));
    }
}
