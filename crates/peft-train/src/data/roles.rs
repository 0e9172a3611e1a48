//! Which column holds the text, the second text, and the target.

use serde::{Deserialize, Serialize};

use super::table::Table;
use super::target::TargetKind;
use crate::TrainError;

const TEXT: &str = "text";
const FIRST: &str = "sentence1";
const SECOND: &str = "sentence2";
const SENTENCE: &str = "sentence";
const LABEL: &str = "label";
const SCORE: &str = "score";

/// The columns by name, where they differ from the usual ones.
///
/// The usual text columns, in this order: `text`; `sentence1` with `sentence2`; `sentence`. The usual target columns:
/// `label`, `score` (a regression prefers `score`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// The column of the (first) text.
    pub text: Option<String>,
    /// The column of the second text of a pair.
    pub pair: Option<String>,
    /// The column of the label or score.
    pub target: Option<String>,
}

/// The roles as column indices of one [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleColumns {
    /// The (first) text.
    pub text: usize,
    /// The second text of a pair.
    pub pair: Option<usize>,
    /// The label or score; absent when the task needs none.
    pub target: Option<usize>,
}

impl Roles {
    /// The names by which a header is recognised.
    pub fn names(&self) -> Vec<String> {
        let own = [&self.text, &self.pair, &self.target];
        let usual = [TEXT, FIRST, SECOND, SENTENCE, LABEL, SCORE];
        own.into_iter()
            .flatten()
            .cloned()
            .chain(usual.map(str::to_string))
            .collect()
    }

    /// The roles whose columns are in `table`; for the others the usual names count.
    ///
    /// # Errors
    /// [`TrainError::TwoColumns`] when a name stands twice.
    pub fn present(&self, table: &Table) -> Result<Self, TrainError> {
        let there = |name: &Option<String>| match name {
            Some(name) => Ok(table.column(name)?.map(|_| name.clone())),
            None => Ok::<_, TrainError>(None),
        };
        Ok(Self {
            text: there(&self.text)?,
            pair: there(&self.pair)?,
            target: there(&self.target)?,
        })
    }

    /// Finds the columns in `table`.
    ///
    /// # Errors
    /// [`TrainError::MissingColumn`] when a text or the target of `kind` is not there, [`TrainError::TwoColumns`] when
    /// a name stands twice.
    pub fn resolve(&self, table: &Table, kind: TargetKind) -> Result<RoleColumns, TrainError> {
        let (text, pair) = self.texts(table)?;
        let target = match kind {
            TargetKind::None => None,
            TargetKind::Class | TargetKind::Value => Some(self.target(table, kind)?),
        };
        Ok(RoleColumns { text, pair, target })
    }

    /// The target column alone.
    pub(super) fn target(&self, table: &Table, kind: TargetKind) -> Result<usize, TrainError> {
        match (&self.target, kind) {
            (Some(name), _) => required(table, &[name]),
            (None, TargetKind::Value) => required(table, &[SCORE, LABEL]),
            (None, _) => required(table, &[LABEL, SCORE]),
        }
    }

    fn texts(&self, table: &Table) -> Result<(usize, Option<usize>), TrainError> {
        match (&self.text, &self.pair) {
            (Some(text), None) => Ok((required(table, &[text])?, None)),
            (Some(text), Some(pair)) => {
                Ok((required(table, &[text])?, Some(required(table, &[pair])?)))
            }
            (None, Some(pair)) => {
                let text = required(table, &[TEXT, FIRST, SENTENCE])?;
                Ok((text, Some(required(table, &[pair])?)))
            }
            (None, None) => usual_texts(table),
        }
    }
}

fn usual_texts(table: &Table) -> Result<(usize, Option<usize>), TrainError> {
    if let Some(text) = table.column(TEXT)? {
        return Ok((text, None));
    }
    match (table.column(FIRST)?, table.column(SECOND)?) {
        (Some(first), Some(second)) => Ok((first, Some(second))),
        (Some(_), None) => Err(missing(table, &[SECOND])),
        (None, Some(_)) => Err(missing(table, &[FIRST])),
        (None, None) => {
            let text = table.column(SENTENCE)?;
            text.map(|text| (text, None))
                .ok_or_else(|| missing(table, &[TEXT, FIRST, SENTENCE]))
        }
    }
}

fn required(table: &Table, names: &[&str]) -> Result<usize, TrainError> {
    for name in names {
        if let Some(index) = table.column(name)? {
            return Ok(index);
        }
    }
    Err(missing(table, names))
}

fn missing(table: &Table, names: &[&str]) -> TrainError {
    TrainError::MissingColumn {
        path: table.path.clone(),
        expected: names.iter().map(ToString::to_string).collect(),
        found: table.columns.clone(),
    }
}
