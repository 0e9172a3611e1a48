//! The labels of a classification and their ids, the same in every run.

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::example::TargetKind;
use super::json::kind;
use super::problem::{Problems, RowFault, shorten};
use super::roles::Roles;
use super::table::Table;
use crate::TrainError;

/// How many known labels an error names.
const NAMED_LABELS: usize = 8;

/// The labels of a classification, sorted; the id of a label is its position.
///
/// When every label is a whole number they are sorted as numbers (`2` before `10`), otherwise by their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSet {
    names: IndexSet<String>,
}

impl LabelSet {
    /// Collects the labels of a training file. White space around a label does not count; a JSON number or boolean is
    /// the same label as its text.
    ///
    /// # Errors
    /// [`TrainError::MissingColumn`] when there is no label column; [`TrainError::Rows`] with every missing label, or
    /// with the first row when it looks like a header.
    pub fn fit(table: &Table, roles: &Roles) -> Result<Self, TrainError> {
        let target = roles.target(table, TargetKind::Class)?;
        let column = &table.columns[target];
        let mut problems = Problems::default();
        let mut names = IndexSet::new();
        let mut rest = IndexSet::new();
        for (index, row) in table.rows.iter().enumerate() {
            match label_text(column, &row.cells[target]) {
                Ok(label) => {
                    names.insert(label.clone());
                    if index > 0 {
                        rest.insert(label);
                    }
                }
                Err(fault) => problems.push(row.line, fault),
            }
        }
        if let Some(label) = header_as_label(&names, &rest) {
            let fault = RowFault::HeaderAsLabel {
                column: column.clone(),
                label,
            };
            problems.push(table.rows[0].line, fault);
        }
        problems.finish(&table.path)?;
        Ok(Self {
            names: sorted(names),
        })
    }

    /// The labels that occur, in the same order as from [`LabelSet::fit`].
    pub fn of(labels: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: sorted(labels.into_iter().collect()),
        }
    }

    /// The labels in the order of their ids, for example from the `id2label` of a model.
    ///
    /// # Errors
    /// [`TrainError::Option`] when there are none or one stands twice.
    pub fn from_names(names: Vec<String>) -> Result<Self, TrainError> {
        let count = names.len();
        let unique: IndexSet<String> = names.into_iter().collect();
        if unique.is_empty() || unique.len() != count {
            return Err(TrainError::Option {
                option: "labels",
                expected: "at least one label, none of them twice".to_string(),
                found: format!("{count} labels, {} of them different", unique.len()),
            });
        }
        Ok(Self { names: unique })
    }

    /// The number of classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no labels; never so after [`LabelSet::fit`].
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The id of a label.
    pub fn id(&self, name: &str) -> Option<usize> {
        self.names.get_index_of(name)
    }

    /// The label of an id.
    pub fn name(&self, id: usize) -> Option<&str> {
        self.names.get_index(id).map(String::as_str)
    }

    /// The labels in the order of their ids.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The map that a Hugging Face `config.json` calls `label2id`.
    pub fn label2id(&self) -> IndexMap<String, usize> {
        self.names
            .iter()
            .enumerate()
            .map(|(id, name)| (name.clone(), id))
            .collect()
    }

    /// The fault of a row whose label is none of these.
    pub(super) fn unknown(&self, column: &str, label: &str) -> RowFault {
        RowFault::UnknownLabel {
            column: column.to_string(),
            label: shorten(label),
            known: self.len(),
            examples: self.examples(),
        }
    }

    /// The first few labels, for messages.
    pub(super) fn examples(&self) -> String {
        let mut examples: Vec<String> = self.names().take(NAMED_LABELS).map(shorten).collect();
        if self.len() > NAMED_LABELS {
            examples.push("...".to_string());
        }
        examples.join(", ")
    }
}

/// The label that a cell holds.
pub(super) fn label_text(column: &str, value: &Value) -> Result<String, RowFault> {
    const EXPECTED: &str = "a label";
    let text = match value {
        Value::String(text) => text.trim().to_string(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => String::new(),
        other => {
            return Err(RowFault::WrongCell {
                column: column.to_string(),
                expected: EXPECTED,
                found: kind(other).to_string(),
            });
        }
    };
    if text.is_empty() {
        return Err(RowFault::EmptyCell {
            column: column.to_string(),
            expected: EXPECTED,
        });
    }
    Ok(text)
}

fn is_whole(label: &str) -> bool {
    label.parse::<i64>().is_ok()
}

/// The label of the first row when it alone is no whole number, as the name in a header is not.
fn header_as_label(names: &IndexSet<String>, rest: &IndexSet<String>) -> Option<String> {
    let first = names.first()?;
    let alone = !rest.is_empty() && !rest.contains(first) && !is_whole(first);
    (alone && rest.iter().all(|label| is_whole(label))).then(|| shorten(first))
}

fn sorted(mut names: IndexSet<String>) -> IndexSet<String> {
    if names.iter().all(|name| is_whole(name)) {
        names.sort_by_cached_key(|name| (name.parse::<i64>().unwrap_or_default(), name.clone()));
    } else {
        names.sort();
    }
    names
}
