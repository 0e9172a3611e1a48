//! A labelled task in the generated language: the sentiment of an opinion.
//!
//! Half of the opinions are worded by negating the opposite one, so only a word together with its negation decides, and
//! no weighing of single words solves it (a few rare verb forms that mostly follow `not` lean to one side).

use std::collections::HashSet;

use super::grammar::{Grammar, Sentiment};

/// A text with its label, a row of a JSONL file.
#[derive(Debug, Clone, PartialEq, Eq)]
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
                let tense = grammar.speaker.tense();
                let text = format!("{} .", grammar.opinion(sentiment, tense));
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
    let line = |row: &LabelledText| {
        let object = serde_json::json!({"text": row.text, "label": row.label});
        format!("{object}\n")
    };
    rows.iter().map(line).collect()
}
