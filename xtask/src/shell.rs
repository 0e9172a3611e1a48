//! Running one external command: shown before it starts, timed, an error when it fails.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace's root folder")
        .to_path_buf()
}

/// An external command with its environment, as plain data so that tests can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Variables set for the command only.
    pub(crate) variables: Vec<(String, String)>,
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
}

impl Step {
    /// A command from one line of space-separated words.
    pub(crate) fn new(line: &str) -> Self {
        Self {
            variables: Vec::new(),
            words: line.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// A program with its arguments, bound to some processor cores, as in `0,1`.
    pub(crate) fn on_cores(cores: &str, words: &[&str]) -> Self {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Self::new("taskset -c")
            .with_arguments(&[cores.to_owned()])
            .with_arguments(&words)
    }

    /// Sets a variable for this command.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Appends arguments.
    pub(crate) fn with_arguments(mut self, arguments: &[String]) -> Self {
        self.words.extend_from_slice(arguments);
        self
    }

    /// The line a person would type to run this step.
    pub(crate) fn line(&self) -> String {
        let variables = self
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"));
        variables
            .chain(self.words.iter().cloned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs the command in `root`, printing it first and its time afterwards.
    ///
    /// # Errors
    /// The program cannot be started, or it ends with a status other than 0.
    pub(crate) fn run(&self, root: &Path) -> anyhow::Result<()> {
        println!("$ {}", self.line());
        let started = Instant::now();
        self.end(&self.begin(root, Stdio::inherit())?)?;
        println!("  done in {:.1} s", started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Runs the command in `root` and gives what it writes to its standard output.
    ///
    /// # Errors
    /// As [`Self::run`], or what it writes is no text.
    pub(crate) fn output(&self, root: &Path) -> anyhow::Result<String> {
        println!("$ {}", self.line());
        let output = self.begin(root, Stdio::piped())?;
        self.end(&output)?;
        String::from_utf8(output.stdout).with_context(|| format!("`{}`", self.line()))
    }

    fn begin(&self, root: &Path, stdout: Stdio) -> anyhow::Result<Output> {
        let (program, arguments) = self.words.split_first().context("the command is empty")?;
        Command::new(program)
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(root)
            .stdout(stdout)
            .stderr(Stdio::inherit())
            .stdin(Stdio::inherit())
            .output()
            .with_context(|| format!("`{program}` could not be started; is it installed?"))
    }

    fn end(&self, output: &Output) -> anyhow::Result<()> {
        if !output.status.success() {
            bail!("`{}` failed ({})", self.line(), output.status);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_line_can_be_typed_again() {
        let step = Step::new("cargo doc --no-deps").with_variable("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            step.line(),
            "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps"
        );
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = Step::new("cargo no-such-subcommand")
            .run(&workspace_root())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`cargo no-such-subcommand` failed"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let error = Step::new("no-such-program-here")
            .run(&workspace_root())
            .unwrap_err();
        assert!(
            error.to_string().contains("`no-such-program-here`"),
            "{error}"
        );
    }
}
