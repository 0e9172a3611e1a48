//! The account of files with labels or values.

use indexmap::IndexMap;
use peft_train::data::{FileAccount, Roles, Table, Target, Targets, TokenAccount};

use crate::Result;

/// The account of a table of texts.
pub(super) fn text_account(
    table: &Table,
    roles: &Roles,
    targets: Targets<'_>,
    found: &[Target],
    tokens: TokenAccount,
) -> Result<FileAccount> {
    let columns = roles.resolve(table, targets.kind())?;
    let used = [Some(columns.text), columns.pair, columns.target];
    let names = table.columns.iter().enumerate();
    let unused = names.filter(|(at, _)| !used.contains(&Some(*at)));
    Ok(FileAccount {
        path: table.path.clone(),
        rows: found.len(),
        examples: found.len(),
        unused_columns: unused.map(|(_, name)| name.clone()).collect(),
        labels: label_counts(targets, found),
        tokens: Some(tokens),
        ..FileAccount::default()
    })
}

/// How often each label stands, in the order of the labels.
pub fn label_counts(targets: Targets<'_>, found: &[Target]) -> IndexMap<String, usize> {
    let Targets::Classes(labels) = targets else {
        return IndexMap::new();
    };
    let count = |class: usize| {
        found
            .iter()
            .filter(move |target| **target == Target::Class(class))
    };
    let names = labels.names().enumerate();
    names
        .map(|(class, name)| (name.to_owned(), count(class).count()))
        .collect()
}
