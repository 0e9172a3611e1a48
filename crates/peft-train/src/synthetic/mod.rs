//! A generated language for demonstrations, tests and benchmarks: a small grammar about people, things and opinions.
//!
//! [`Grammar`] speaks it without end (text to pretrain on), [`SentimentData`] is a labelled task in it, and
//! [`vocabulary`] lists its words. Everything depends on seeds alone.

mod clause;
mod grammar;
mod task;
mod words;

pub use grammar::{Grammar, Passage, Sentiment};
pub use task::{LabelledText, SentimentData, to_jsonl};
pub use words::{SPECIAL_TOKENS, vocabulary};
