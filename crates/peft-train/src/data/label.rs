//! The labels of a classification and their ids, the same in every run.

use indexmap::{IndexMap, IndexSet};

use super::label_text::{alike, key, label_text, same_number};
use super::problem::{Problems, shorten};
use super::roles::Roles;
use super::row_fault::RowFault;
use super::table::Table;
use super::table_error::TableError;
use super::target::TargetKind;
use crate::TrainError;

/// How many known labels an error names.
const NAMED_LABELS: usize = 8;

/// The labels of a classification, sorted; the id of a label is its position.
///
/// When every label is a whole number they are sorted as numbers (`2` before `10`), otherwise by their bytes. One label may be written in
/// several ways: a whole number with or without a fraction (`1`, `1.0`), a truth value in any case (`true`, `True`). Its name is the number
/// without a fraction, and the first spelling of a truth value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSet {
    names: IndexSet<String>,
    /// What each name has in common with its other spellings, in the same order.
    keys: IndexSet<String>,
    /// Whether a whole number that is no name is the id of a label.
    ids: bool,
}

impl LabelSet {
    /// Collects the labels of a training file. White space around a label does not count; a JSON number or boolean is
    /// the same label as its text.
    ///
    /// # Errors
    /// [`TrainError::MissingColumn`] when there is no label column; [`TrainError::Rows`] with every missing label, or
    /// with the first row when it looks like a header; [`TableError::SameNumber`] for one number written in two ways.
    pub fn fit(table: &Table, roles: &Roles) -> Result<Self, TrainError> {
        let target = roles.target(table, TargetKind::Class)?;
        let column = &table.columns[target];
        let mut problems = Problems::default();
        let mut names = IndexMap::new();
        let mut rest = IndexSet::new();
        for (index, row) in table.rows.iter().enumerate() {
            match label_text(column, &row.cells[target]) {
                Ok(label) => {
                    if index > 0 {
                        rest.insert(label.clone());
                    }
                    names.entry(key(&label)).or_insert(label);
                }
                Err(fault) => problems.push(row.line, fault),
            }
        }
        let names: IndexSet<String> = names.into_values().collect();
        if let Some(label) = header_as_label(&names, &rest) {
            let fault = RowFault::HeaderAsLabel {
                column: column.clone(),
                label,
            };
            problems.push(table.rows[0].line, fault);
        }
        problems.finish(&table.path)?;
        if let Some((first, second)) = same_number(names.iter().map(String::as_str)) {
            return Err(TableError::SameNumber {
                path: table.path.clone(),
                first,
                second,
            }
            .into());
        }
        Ok(Self::ordered(sorted(names)))
    }

    /// The labels that occur, in the same order as from [`LabelSet::fit`].
    pub fn of(labels: impl IntoIterator<Item = String>) -> Self {
        Self::ordered(sorted(labels.into_iter().collect()))
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
        Ok(Self::ordered(unique))
    }

    fn ordered(names: IndexSet<String>) -> Self {
        let mut keys = IndexSet::new();
        for name in &names {
            // Two names of one key (a model may call its outputs so) are told apart by their spelling.
            if !keys.insert(key(name)) {
                keys.insert(name.clone());
            }
        }
        Self {
            names,
            keys,
            ids: false,
        }
    }

    /// The same, for data that may give the ids of the labels instead of their names, as data sets of the hub do.
    #[must_use]
    pub fn with_ids(self) -> Self {
        let named_by_numbers = self.names.iter().any(|name| is_whole(name));
        Self {
            ids: !named_by_numbers,
            ..self
        }
    }

    /// Whether data may give the ids of the labels instead of their names.
    pub fn takes_ids(&self) -> bool {
        self.ids
    }

    /// The number of classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no labels; never so after [`LabelSet::fit`].
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The id of a label, in any of its spellings.
    pub fn id(&self, name: &str) -> Option<usize> {
        let by_key = || self.keys.get_index_of(&key(name));
        let by_id = || name.parse().ok().filter(|id| self.ids && *id < self.len());
        self.names.get_index_of(name).or_else(by_key).or_else(by_id)
    }

    /// The label of an id.
    pub fn name(&self, id: usize) -> Option<&str> {
        self.names.get_index(id).map(String::as_str)
    }

    /// The labels in the order of their ids.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Pairs of labels that differ in the case of their letters alone, which are seldom meant to be two classes.
    pub fn alike(&self) -> Vec<(String, String)> {
        alike(self.names())
    }

    /// The map that a Hugging Face `config.json` calls `label2id`.
    pub fn label2id(&self) -> IndexMap<String, usize> {
        self.names
            .iter()
            .enumerate()
            .map(|(id, name)| (name.clone(), id))
            .collect()
    }

    /// The fault of a row whose label is not one of these.
    pub(super) fn unknown(&self, column: &str, label: &str) -> RowFault {
        RowFault::UnknownLabel {
            column: column.to_string(),
            label: shorten(label),
            known: self.len(),
            examples: self.examples(),
        }
    }

    /// The first few labels, for messages.
    pub fn examples(&self) -> String {
        let mut examples: Vec<String> = self.names().take(NAMED_LABELS).map(shorten).collect();
        if self.len() > NAMED_LABELS {
            examples.push("...".to_string());
        }
        examples.join(", ")
    }
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
