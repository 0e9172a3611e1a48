//! Answers while they grow: shown as they come, and ended at stop texts.

use peft_models::generate::Progress;
use peft_train::data::TextTokenizer;

use super::Answer;
use crate::Result;

/// The answers while they grow.
pub(crate) struct Texts<'a, 's> {
    tokenizer: &'a TextTokenizer,
    prompts: &'a [String],
    stop: &'a [String],
    tokens: Vec<Vec<u32>>,
    /// Bytes of the first answer that were shown.
    shown: usize,
    show: Option<&'s mut dyn FnMut(&str)>,
}

impl<'a, 's> Texts<'a, 's> {
    pub(crate) fn new(
        tokenizer: &'a TextTokenizer,
        prompts: &'a [String],
        stop: &'a [String],
        mut show: Option<&'s mut dyn FnMut(&str)>,
    ) -> Self {
        if let Some(show) = &mut show {
            show(&prompts[0]);
        }
        Self {
            tokenizer,
            prompts,
            stop,
            tokens: vec![Vec::new(); prompts.len()],
            shown: 0,
            show,
        }
    }

    pub(crate) fn add(&mut self, row: usize, token: u32) -> Progress {
        if self.show.is_none() && self.stop.is_empty() {
            return Progress::Continue;
        }
        self.tokens[row].push(token);
        let Ok(text) = self.tokenizer.text(&self.tokens[row]) else {
            return Progress::Stop;
        };
        let stopped = self.stop.iter().any(|stop| text.contains(stop));
        if self.show.is_some() {
            let end = if stopped {
                self.cut(&text).len()
            } else {
                self.safe(&text)
            };
            if end > self.shown {
                self.show(&text[self.shown..end]);
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

    pub(crate) fn finish(mut self, answers: &[Vec<u32>]) -> Result<Vec<Answer>> {
        let mut finished = Vec::with_capacity(answers.len());
        for (prompt, tokens) in self.prompts.iter().zip(answers) {
            let text = self.tokenizer.text(tokens)?;
            finished.push(Answer {
                prompt: prompt.clone(),
                answer: self.cut(&text).to_owned(),
                tokens: tokens.len(),
            });
        }
        let answer = finished.first().map_or("", |answer| answer.answer.as_str());
        let rest = format!("{}\n", answer.get(self.shown..).unwrap_or(""));
        self.show(&rest);
        Ok(finished)
    }

    fn show(&mut self, text: &str) {
        if let Some(show) = &mut self.show {
            show(text);
        }
    }
}
