//! Data files: every format and quoting, up to labelled examples.

use peft_train::data::{Format, LabelSet, Quoting, ReadOptions, Roles, read_table};

use crate::scratch;

/// Does with the bytes what the program does with such a file.
///
/// # Panics
/// When a reader contradicts itself: a finding.
pub fn run(bytes: &[u8]) {
    let Some((choice, content)) = bytes.split_first() else {
        return;
    };
    let format = [Format::Csv, Format::Tsv, Format::Jsonl, Format::Json][usize::from(choice & 3)];
    let quoting = [Quoting::Auto, Quoting::None, Quoting::Double, Quoting::Auto]
        [usize::from(choice >> 2 & 3)];
    let columns = (choice & 16 != 0).then(|| vec!["text".to_owned(), "label".to_owned()]);
    let options = ReadOptions {
        format: Some(format),
        quoting,
        columns,
        separator: (choice & 32 != 0).then_some(';'),
        encoding: (choice & 64 == 0).then(|| "utf-16le".parse().expect("a known name")),
        renamed: match choice & 128 {
            0 => vec![],
            _ => vec![("label".to_owned(), "text".to_owned())],
        },
        ..ReadOptions::default()
    };
    scratch::with_file(content, |path| {
        let Ok(table) = read_table(path, &options) else {
            return;
        };
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.cells.len() == table.columns.len())
        );
        let _labels = LabelSet::fit(&table, &Roles::default());
    });
}
