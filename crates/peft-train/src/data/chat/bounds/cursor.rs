//! Where the reading of a tag stands, and the guards that were noted on the way.

use super::tags::{Kind, Tag, Token, Unsure};

/// What goes into the template, and where.
pub(in crate::data::chat) type Edits = Vec<(usize, String)>;

/// Bytes of a constant that need no guard.
const SMALL: usize = 64;

/// An operand that was read.
#[derive(Debug, Clone, Copy)]
pub(in crate::data::chat) struct Operand {
    pub(in crate::data::chat) start: usize,
    pub(in crate::data::chat) end: usize,
    /// A constant, written out: it costs what the template itself costs.
    pub(in crate::data::chat) constant: bool,
    pub(in crate::data::chat) number: bool,
}

impl Operand {
    pub(in crate::data::chat) fn small(&self) -> bool {
        self.constant && self.end - self.start <= SMALL
    }
}

/// An operand, unless what comes is none.
pub(in crate::data::chat) type Read = Result<Operand, Unsure>;

pub(in crate::data::chat) struct Expressions<'t, 's> {
    tokens: &'t [Token<'s>],
    at: usize,
    /// Brackets and operands inside of one another.
    pub(in crate::data::chat) depth: usize,
    pub(in crate::data::chat) edits: Edits,
}

impl<'t, 's> Expressions<'t, 's> {
    pub(in crate::data::chat) fn new(tag: &'t Tag<'s>) -> Self {
        Self {
            tokens: &tag.tokens,
            at: 0,
            depth: 0,
            edits: Vec::new(),
        }
    }

    pub(in crate::data::chat) fn peek(&self) -> &'s str {
        self.tokens.get(self.at).map_or("", |token| token.text)
    }

    pub(in crate::data::chat) fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    pub(in crate::data::chat) fn next(&mut self) -> Result<Token<'s>, Unsure> {
        let token = self.tokens.get(self.at).copied().ok_or(Unsure)?;
        self.at += 1;
        Ok(token)
    }

    /// Takes a sign or word if it comes next; a text is neither.
    pub(in crate::data::chat) fn skip(&mut self, text: &str) -> bool {
        let is_next = self.peek() == text && self.kind() != Some(Kind::Text);
        self.at += usize::from(is_next);
        is_next
    }

    pub(in crate::data::chat) fn expect(&mut self, text: &str) -> Result<(), Unsure> {
        if self.skip(text) { Ok(()) } else { Err(Unsure) }
    }

    pub(in crate::data::chat) fn name(&mut self) -> Result<Token<'s>, Unsure> {
        let token = self.next()?;
        if token.kind == Kind::Name {
            Ok(token)
        } else {
            Err(Unsure)
        }
    }

    pub(in crate::data::chat) fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Where the next word or sign begins, and the last one ended.
    pub(in crate::data::chat) fn here(&self) -> usize {
        self.tokens
            .get(self.at)
            .map_or(usize::MAX, |token| token.start)
    }

    pub(in crate::data::chat) fn before(&self) -> usize {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .map_or(0, |token| token.end)
    }

    /// A guard that binds as an operand does: `(operand)|guard`.
    pub(in crate::data::chat) fn guard(&mut self, operand: Operand, filter: &str) {
        self.edits.push((operand.start, "(".into()));
        self.edits.push((operand.end, format!(")|{filter}")));
    }

    /// A guard that binds as a name does: `(name|guard)`.
    pub(in crate::data::chat) fn enclose(&mut self, operand: Operand, filter: &str) {
        self.edits.push((operand.start, "(".into()));
        self.edits.push((operand.end, format!("|{filter})")));
    }

    /// What was read since a place, as no constant.
    pub(in crate::data::chat) fn since(&self, start: usize) -> Operand {
        Operand {
            start,
            end: self.before(),
            constant: false,
            number: false,
        }
    }

    /// The word or sign after the next one.
    pub(in crate::data::chat) fn second(&self) -> &'s str {
        self.tokens.get(self.at + 1).map_or("", |token| token.text)
    }

    /// Whether all of an operand so far is one name.
    pub(in crate::data::chat) fn is_name(&self, operand: Operand, name: &str) -> bool {
        let token = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let is_it = |token: &Token| token.kind == Kind::Name && token.text == name;
        token.is_some_and(|token| token.start == operand.start && is_it(token))
    }
}
