//! A labelled task in the generated language: the sentiment of an opinion among clauses without one.
//!
//! Every word occurs equally often with either label: only the opinion's word together with its negation decides, and
//! the other clause is negated as often. No weighing of single words solves it.

use std::collections::HashSet;

use serde::Serialize;

use super::grammar::{Grammar, Sentiment};

/// A text with its label, a row of a JSONL file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelledText {
    /// One sentence.
    pub text: String,
    /// `positive` or `negative`.
    pub label: &'static str,
}

/// Three parts of the task that share no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentimentData {
    /// To learn from.
    pub train: Vec<LabelledText>,
    /// To choose by.
    pub valid: Vec<LabelledText>,
    /// To judge by.
    pub test: Vec<LabelledText>,
}

impl SentimentData {
    /// Generates so many texts for each part from `seed`; labels alternate, so each part is balanced.
    #[must_use]
    pub fn generate(seed: u64, train: usize, valid: usize, test: usize) -> Self {
        let mut grammar = Grammar::new(seed);
        let mut seen = HashSet::new();
        let mut part = |count: usize| {
            let mut rows = Vec::with_capacity(count);
            while rows.len() < count {
                let sentiment = [Sentiment::Positive, Sentiment::Negative][rows.len() % 2];
                let text = grammar.labelled(sentiment);
                if seen.insert(text.clone()) {
                    rows.push(LabelledText {
                        text,
                        label: sentiment.name(),
                    });
                }
            }
            rows
        };
        Self {
            train: part(train),
            valid: part(valid),
            test: part(test),
        }
    }
}

/// One JSON object per line.
#[must_use]
pub fn to_jsonl(rows: &[LabelledText]) -> String {
    let line = |row| serde_json::to_string(row).expect("a text and a label are valid JSON") + "\n";
    rows.iter().map(line).collect()
}

impl Grammar {
    /// A sentence of the task whose opinion has this sentiment.
    fn labelled(&mut self, sentiment: Sentiment) -> String {
        let tense = self.speaker.tense();
        let opinion = self.opinion(sentiment, tense);
        match self.speaker.pick(&[0, 1, 2]) {
            0 => format!("{opinion} ."),
            1 => format!("{opinion} while {} .", self.scene(tense)),
            _ => format!("{} and {opinion} .", self.action(tense)),
        }
    }
}
