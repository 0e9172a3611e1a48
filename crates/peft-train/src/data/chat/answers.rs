//! Which part of a conversation is to be learnt.
//!
//! Where a template marks it with `{% generation %}`, that is what `transformers` calls the assistant's tokens, and the marks decide.
//! Otherwise an answer is what a rendering up to and with it has beyond one up to its beginning. Where these do not begin the
//! rendering of the whole, because the template writes a turn in another way when it is the last one, or cannot render the beginning
//! alone, the answer's own words are found in the whole: it then begins after the header that asks for an answer, and ends as a
//! rendering up to it does, as far as the whole goes on like that.
//!
//! What the template writes to end the turn is learnt with the answer, a newline behind it too: so do TRL's own training
//! templates, and the losses stay comparable.

use std::ops::Range;

use serde_json::Value;

use super::marks::{self, Where};
use super::{ChatContext, ChatTemplate};
use crate::TrainError;

/// A conversation as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// What the template renders, special tokens included.
    pub text: String,
    /// Bytes of it that the assistant says and that are to be learnt.
    pub learnt: Vec<Range<usize>>,
    /// Answers that cannot be found in the text, so that they are not learnt.
    pub not_found: usize,
    /// Answers that say themselves that they are not to be learnt, by `weight` or `train`.
    pub not_wanted: usize,
}

impl ChatTemplate {
    /// Renders a conversation and finds what the assistant says in it.
    ///
    /// # Errors
    /// [`TrainError::Template`] as [`Self::render`], and for a `weight` or `train` that says neither yes nor no.
    pub fn conversation(
        &self,
        messages: &[Value],
        context: &ChatContext,
    ) -> Result<Conversation, TrainError> {
        if messages.iter().any(marks::holds_mark) {
            return Err(self.refused(
                "the messages hold U+FDD0, U+FDD1 or U+FDD2, which mark answers here".into(),
            ));
        }
        let whole = self.marked(messages, context, false)?;
        let chat = Chat {
            template: self,
            messages,
            context,
            whole: &whole.text,
        };
        let mut wanted = Vec::new();
        let mut unwanted = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            if message["role"] == "assistant" {
                let wants = wants(message).map_err(|why| self.refused(why))?;
                if wants {
                    wanted.push(at)
                } else {
                    unwanted.push(at)
                }
            }
        }
        let (learnt, not_found) = if self.says_answers(context) {
            chat.marked_answers(whole.generated, &wanted, &unwanted)?
        } else {
            chat.found_answers(&wanted)
        };
        Ok(Conversation {
            learnt,
            not_found,
            not_wanted: unwanted.len(),
            text: whole.text,
        })
    }
}

/// Whether an answer is to be learnt: `weight` (0 or 1) and `train` (true or false), where it has them.
fn wants(message: &Value) -> Result<bool, String> {
    let mut wants = true;
    for name in ["weight", "train"] {
        wants &= match message.get(name) {
            None | Some(Value::Null) => true,
            Some(Value::Bool(yes)) => *yes,
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => false,
            Some(Value::Number(number)) if number.as_f64() == Some(1.0) => true,
            Some(other) => {
                return Err(format!(
                    "`{name}` of a message: expected 0, 1, true or false, found {other}"
                ));
            }
        };
    }
    Ok(wants)
}

/// A conversation and its rendering.
struct Chat<'a> {
    template: &'a ChatTemplate,
    messages: &'a [Value],
    context: &'a ChatContext,
    whole: &'a str,
}

impl Chat<'_> {
    /// What the template's own marks say, without answers that are not wanted.
    fn marked_answers(
        &self,
        mut marked: Vec<Range<usize>>,
        wanted: &[usize],
        unwanted: &[usize],
    ) -> Result<(Vec<Range<usize>>, usize), TrainError> {
        let not_found = if marked.is_empty() { wanted.len() } else { 0 };
        for at in unwanted {
            let said = self
                .said(self.messages.len(), *at, self.whole)
                .ok_or_else(|| {
                    self.template.refused(format!(
                        "message {} is not to be learnt, but cannot be found in the text",
                        at + 1
                    ))
                })?;
            marked.retain(|range| range.end <= said.start || range.start >= said.end);
        }
        Ok((marked, not_found))
    }

    /// Answers found one by one, and how many could not be.
    fn found_answers(&self, wanted: &[usize]) -> (Vec<Range<usize>>, usize) {
        let found: Vec<_> = wanted.iter().filter_map(|at| self.answer(*at)).collect();
        let not_found = wanted.len() - found.len();
        (found, not_found)
    }

    fn render(&self, until: usize, ask: bool) -> Option<String> {
        self.template
            .render(&self.messages[..until], self.context, ask)
            .ok()
    }

    /// The bytes of an answer.
    fn answer(&self, at: usize) -> Option<Range<usize>> {
        let is_last = at + 1 == self.messages.len();
        let begins = |text: &String| self.whole.starts_with(text.as_str());
        let before = self.render(at, true).filter(begins).map(|text| text.len());
        let until = match is_last {
            true => Some(self.whole.len()),
            false => self
                .render(at + 1, false)
                .filter(begins)
                .map(|text| text.len()),
        };
        if let (Some(before), Some(until)) = (before, until)
            && until > before
        {
            return Some(before..until);
        }
        let said = self.said(self.messages.len(), at, self.whole)?;
        let start = before.filter(|before| *before <= said.start);
        let start = start.unwrap_or_else(|| self.after_header(said.start));
        let until = until.filter(|until| *until >= said.end);
        let end = until.unwrap_or_else(|| said.end + self.ending(at, said.end));
        (end > start).then_some(start..end)
    }

    /// Where the words of a message stand in the rendering `text` of the first `until` messages.
    fn said(&self, until: usize, at: usize, text: &str) -> Option<Range<usize>> {
        [Where::Around, Where::Behind, Where::Last]
            .into_iter()
            .find_map(|place| {
                let mut messages = self.messages[..until].to_vec();
                messages[at] = marks::with_marks(&messages[at], place);
                let marked = self.template.marked(&messages, self.context, false).ok()?;
                marked.here.filter(|_| marked.text == text)
            })
    }

    /// Where an answer begins whose words are at `said`: after the last header before them.
    fn after_header(&self, said: usize) -> usize {
        let header = (1..=self.messages.len()).find_map(|until| {
            let (asked, plain) = (self.render(until, true)?, self.render(until, false)?);
            let header = &asked[common(&asked, &plain)..];
            (!header.trim().is_empty()).then(|| header.to_owned())
        });
        let found =
            header.and_then(|header| Some(self.whole[..said].rfind(&header)? + header.len()));
        found.unwrap_or(said)
    }

    /// Bytes behind an answer's words that end the turn, as a rendering up to the answer ends, as far as the whole goes on like that.
    fn ending(&self, at: usize, said: usize) -> usize {
        let ending = || {
            let until = self.render(at + 1, false)?;
            let end = self.said(at + 1, at, &until)?.end;
            Some(until[end..].to_owned())
        };
        let (Some(ending), after) = (ending(), &self.whole[said..]) else {
            return 0;
        };
        let same = &ending[..common(&ending, after)];
        if same.len() == ending.len() {
            return same.len();
        }
        // Not the beginning of another token than the one that ends the turn.
        same.rfind(['>', ']', '}', '\n']).map_or(0, |last| last + 1)
    }
}

/// Bytes that two texts begin with in common.
fn common(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(a, _)| a.len_utf8()).sum()
}

#[cfg(test)]
mod tests;
