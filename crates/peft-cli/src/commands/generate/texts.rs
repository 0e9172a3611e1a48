//! Answers while they grow: printed as they come, and ended at stop texts.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use peft_models::generate::Progress;
use peft_train::data::TextTokenizer;

use super::Answer;

/// The answers while they grow: printed as they come, and ended at stop texts.
pub(super) struct Texts<'a> {
    tokenizer: &'a TextTokenizer,
    prompts: &'a [String],
    stop: &'a [String],
    tokens: Vec<Vec<u32>>,
    /// Bytes of the first answer that are on the terminal.
    shown: usize,
    streams: bool,
}

impl<'a> Texts<'a> {
    pub(super) fn new(
        tokenizer: &'a TextTokenizer,
        prompts: &'a [String],
        stop: &'a [String],
        streams: bool,
    ) -> Self {
        if streams {
            print!("{}", prompts[0]);
            flush();
        }
        Self {
            tokenizer,
            prompts,
            stop,
            tokens: vec![Vec::new(); prompts.len()],
            shown: 0,
            streams,
        }
    }

    pub(super) fn add(&mut self, row: usize, token: u32) -> Progress {
        if !self.streams && self.stop.is_empty() {
            return Progress::Continue;
        }
        self.tokens[row].push(token);
        let Ok(text) = self.tokenizer.text(&self.tokens[row]) else {
            return Progress::Stop;
        };
        let stopped = self.stop.iter().any(|stop| text.contains(stop));
        if self.streams {
            let end = if stopped {
                self.cut(&text).len()
            } else {
                self.safe(&text)
            };
            if end > self.shown {
                print!("{}", &text[self.shown..end]);
                flush();
                self.shown = end;
            }
        }
        if stopped {
            Progress::Stop
        } else {
            Progress::Continue
        }
    }

    /// How much of a growing text is final: no half characters, no beginning of a stop text.
    fn safe(&self, text: &str) -> usize {
        let whole = text.trim_end_matches('\u{fffd}').len();
        let starts = |stop: &String| {
            (1..=stop.len()).rev().find(|length| {
                stop.is_char_boundary(*length) && text[..whole].ends_with(&stop[..*length])
            })
        };
        let held = self.stop.iter().filter_map(starts).max();
        whole - held.unwrap_or(0)
    }

    /// The text before the first stop text.
    fn cut<'t>(&self, text: &'t str) -> &'t str {
        let ends = self.stop.iter().filter_map(|stop| text.find(stop));
        &text[..ends.min().unwrap_or(text.len())]
    }

    pub(super) fn finish(self, answers: &[Vec<u32>]) -> Result<Vec<Answer>> {
        let mut finished = Vec::with_capacity(answers.len());
        for (prompt, tokens) in self.prompts.iter().zip(answers) {
            let text = self.tokenizer.text(tokens)?;
            finished.push(Answer {
                prompt: prompt.clone(),
                answer: self.cut(&text).to_owned(),
                tokens: tokens.len(),
            });
        }
        if self.streams {
            let rest = finished.first().map_or("", |answer| answer.answer.as_str());
            println!("{}", rest.get(self.shown..).unwrap_or(""));
        }
        Ok(finished)
    }
}

/// Shows what was printed at once; a pipe may wait.
fn flush() {
    if std::io::stdout().is_terminal() {
        std::io::stdout().flush().ok();
    }
}
