//! The account of a run's data: what was read, dropped, cut and is to be learnt, file by file.
//!
//! Whoever makes examples of a file fills one [`FileAccount`]; it is shown before anything trains and kept with the results, so that
//! nothing of the data is lost without a word.

use std::fmt;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Serialize;

/// How many lines are named with a reason; the others are only counted.
const NAMED: usize = 5;
/// How many labels are shown with their counts; results hold all of them.
const SHOWN_LABELS: usize = 20;

/// The account of all files of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DataAccount {
    /// What is learnt from.
    pub train: FileAccount,
    /// What models are judged on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<FileAccount>,
}

/// The account of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FileAccount {
    /// The file or folder.
    pub path: PathBuf,
    /// Rows (or pictures) that it holds and that were asked for.
    pub rows: usize,
    /// Examples that are left for the model. Several texts may share one row of tokens, and a long one may fill several.
    pub examples: usize,
    /// Rows that became no example, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Counted>,
    /// Everything else that a reader may not expect, counted: answers that cannot be learnt, for example.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Counted>,
    /// Columns that nothing is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused_columns: Vec<String>,
    /// Examples of each label, in the order of the labels.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, usize>,
    /// Tokens, where examples are texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenAccount>,
}

/// Something counted over the rows of a file, with the first lines where it is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// What is so.
    pub what: String,
    /// How often.
    pub count: usize,
    /// The first places, such as `line 4 (213 tokens)`.
    pub places: Vec<String>,
}

/// The tokens of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TokenAccount {
    /// Tokens of the shortest text as it stands in the file, special tokens included.
    pub shortest: usize,
    /// Half of the texts have no more.
    pub median: usize,
    /// Tokens of the longest text, before it was cut.
    pub longest: usize,
    /// What a row may have at most.
    pub max_length: usize,
    /// Where that limit comes from, in words.
    pub limited_by: String,
    /// Texts that lost tokens to the limit.
    pub cut_rows: usize,
    /// The tokens that they lost.
    pub cut_tokens: usize,
    /// Tokens that the model reads.
    pub kept: usize,
    /// Those of them that it is to predict, where it learns to predict tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learnt: Option<usize>,
}

impl DataAccount {
    /// Texts of all files that were cut.
    #[must_use]
    pub fn cut_rows(&self) -> usize {
        let files = std::iter::once(&self.train).chain(&self.valid);
        files.map(FileAccount::cut_rows).sum()
    }
}

impl TokenAccount {
    /// From the tokens of each text before it was cut.
    #[must_use]
    pub fn of(lengths: &[usize], max_length: usize, limited_by: &str) -> Self {
        let mut sorted = lengths.to_vec();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0);
        Self {
            shortest: at(0),
            median: at(sorted.len().saturating_sub(1) / 2),
            longest: at(sorted.len().saturating_sub(1)),
            max_length,
            limited_by: limited_by.to_owned(),
            ..Self::default()
        }
    }
}

impl FileAccount {
    /// Texts that were cut to the limit.
    #[must_use]
    pub fn cut_rows(&self) -> usize {
        self.tokens.as_ref().map_or(0, |tokens| tokens.cut_rows)
    }

    /// Counts a row that becomes no example.
    pub fn drop_row(&mut self, what: &str, place: impl fmt::Display) {
        count(&mut self.dropped, what, 1, place);
    }

    /// Counts something that a reader may not expect.
    pub fn remark(&mut self, what: &str, times: usize, place: impl fmt::Display) {
        count(&mut self.remarks, what, times, place);
    }

    /// Counts what was left out when only a share of the examples is used: how many, and their labels.
    pub fn sampled(&mut self, examples: usize, labels: IndexMap<String, usize>) {
        self.left("examples left out by data.sample", examples, labels);
    }

    /// Counts what was set aside to judge by: how many are left, and their labels.
    pub fn set_aside(&mut self, examples: usize, labels: IndexMap<String, usize>) {
        self.left("examples set aside to judge by", examples, labels);
    }

    fn left(&mut self, what: &str, examples: usize, labels: IndexMap<String, usize>) {
        let left_out = self.examples.saturating_sub(examples);
        self.examples = examples;
        self.labels = labels;
        self.remark(what, left_out, "chosen by the seed");
    }

    /// Rows that became no example.
    #[must_use]
    pub fn dropped_rows(&self) -> usize {
        self.dropped.iter().map(|dropped| dropped.count).sum()
    }
}

fn count(list: &mut Vec<Counted>, what: &str, times: usize, place: impl fmt::Display) {
    if times == 0 {
        return;
    }
    let at = list.iter().position(|counted| counted.what == what);
    let at = at.unwrap_or_else(|| {
        list.push(Counted {
            what: what.to_owned(),
            count: 0,
            places: vec![],
        });
        list.len() - 1
    });
    let counted = &mut list[at];
    counted.count += times;
    if counted.places.len() < NAMED {
        counted.places.push(place.to_string());
    }
}

impl fmt::Display for DataAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "training data: {}", self.train)?;
        match &self.valid {
            Some(valid) => write!(f, "\nvalidation data: {valid}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FileAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rows read", self.path.display(), self.rows)?;
        if self.dropped_rows() > 0 {
            write!(f, ", {} dropped", self.dropped_rows())?;
        }
        write!(f, ", {} examples", self.examples)?;
        if let Some(tokens) = &self.tokens {
            write!(f, "\n  {tokens}")?;
        }
        if !self.labels.is_empty() {
            let shown = self.labels.iter().take(SHOWN_LABELS);
            let shown: Vec<String> = shown.map(|(name, n)| format!("{name} {n}")).collect();
            write!(f, "\n  labels: {}", shown.join(", "))?;
            if self.labels.len() > SHOWN_LABELS {
                write!(f, " and {} more", self.labels.len() - SHOWN_LABELS)?;
            }
        }
        for dropped in &self.dropped {
            write!(f, "\n  dropped: {dropped}")?;
        }
        for remark in &self.remarks {
            write!(f, "\n  note: {remark}")?;
        }
        if !self.unused_columns.is_empty() {
            write!(
                f,
                "\n  columns not used: {}",
                self.unused_columns.join(", ")
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.count > self.places.len() {
            ", ..."
        } else {
            ""
        };
        write!(
            f,
            "{} {}: {}{more}",
            self.count,
            self.what,
            self.places.join(", ")
        )
    }
}

impl fmt::Display for TokenAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "tokens: shortest {}, median {}, longest {}; at most {} in a row ({})",
            self.shortest, self.median, self.longest, self.max_length, self.limited_by
        )?;
        if let Some(learnt) = self.learnt {
            let share = 100.0 * learnt as f64 / self.kept.max(1) as f64;
            write!(
                f,
                "\n  learnt: {learnt} of {} tokens ({share:.1} %)",
                self.kept
            )?;
        }
        if self.cut_rows > 0 {
            write!(
                f,
                "\n  warning: {} rows are cut and lose {} tokens, their ends; --max-length (data.max_length) sets the limit",
                self.cut_rows, self.cut_tokens
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_names_what_is_lost_and_the_setting() {
        let mut account = FileAccount {
            path: "a.jsonl".into(),
            rows: 9,
            examples: 2,
            ..FileAccount::default()
        };
        for line in 1..=7 {
            account.drop_row("too long", format!("line {line}"));
        }
        account.remark("answers lost", 0, "line 1");
        account.tokens = Some(TokenAccount {
            cut_rows: 1,
            cut_tokens: 5,
            kept: 40,
            learnt: Some(10),
            ..TokenAccount::of(&[4, 30, 11], 25, "--max-length")
        });
        account.labels = [("yes".to_owned(), 2), ("no".to_owned(), 0)].into();
        let text = DataAccount {
            train: account,
            valid: None,
        }
        .to_string();
        for part in [
            "a.jsonl: 9 rows read, 7 dropped, 2 examples",
            "shortest 4, median 11, longest 30; at most 25 in a row",
            "10 of 40 tokens (25.0 %)",
            "1 rows are cut and lose 5 tokens",
            "7 too long: line 1, line 2, line 3, line 4, line 5, ...",
            "labels: yes 2, no 0",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("answers lost"), "{text}");
    }
}
