//! Ctrl-C and SIGTERM while a run goes on: the first finishes the step and saves, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use peft_train::{Stage, Stop};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit code of a run that was interrupted, as of programs that Ctrl-C ends.
pub const EXIT_CODE: u8 = 130;
/// How soon after a signal something is said.
const SOON: Duration = Duration::from_millis(20);

/// The request to end the run of this process.
pub fn stop() -> Stop {
    static STOP: OnceLock<Stop> = OnceLock::new();
    STOP.get_or_init(Stop::default).clone()
}

/// Takes the signals over.
///
/// # Errors
/// When the system refuses.
pub fn watch() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and sets it, the second finds it set.
        flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), stop().flag())
            .and_then(|_| flag::register(signal, stop().flag()))
            .context("cannot take over Ctrl-C")?;
    }
    std::thread::spawn(|| {
        while !stop().is_asked() {
            std::thread::sleep(SOON);
        }
        match stop().stage() {
            Stage::Running => {
                eprintln!("interrupted: finishing this step and saving; once more ends at once");
                return;
            }
            Stage::Before => eprintln!("interrupted before the first step: nothing was written"),
            Stage::After => eprintln!("interrupted; --resume goes on from what is saved"),
        }
        std::process::exit(i32::from(EXIT_CODE));
    });
    Ok(())
}

/// Ctrl-C while somebody talks to a model: it ends an answer, and between answers the program.
#[derive(Debug)]
pub struct Pause(Arc<AtomicBool>);

impl Pause {
    /// Takes the signal over.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn watch() -> Result<Self> {
        // Whoever waits for a line has nothing to end but the program.
        let asked = Arc::new(AtomicBool::new(true));
        flag::register_conditional_shutdown(SIGINT, i32::from(EXIT_CODE), Arc::clone(&asked))
            .and_then(|_| flag::register(SIGINT, Arc::clone(&asked)))
            .context("cannot take over Ctrl-C")?;
        Ok(Self(asked))
    }

    /// Whether it was asked for since the answer began.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An answer begins, which the next Ctrl-C ends.
    pub fn begin(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Nothing is being answered: the next Ctrl-C ends the program.
    pub fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The command that continues a run begun by these arguments.
pub fn to_go_on(arguments: impl Iterator<Item = String>) -> String {
    let kept =
        arguments.filter(|argument| !["--overwrite", "--resume"].contains(&argument.as_str()));
    let mut words: Vec<String> = kept.map(|word| quoted(&word)).collect();
    words.push("--resume".into());
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_goes_on_is_the_same_with_resume_once() {
        let line = [
            "peft",
            "train",
            "--overwrite",
            "--out",
            "my run",
            "--set",
            "x={a='b'}",
            "--resume",
        ];
        assert_eq!(
            to_go_on(line.into_iter().map(str::to_owned)),
            r"peft train --out 'my run' --set 'x={a='\''b'\''}' --resume"
        );
    }
}
