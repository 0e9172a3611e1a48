//! Public data sets as they are shipped; skipped, with a line that says so, when the data folder is absent.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test helpers report failures by panics, skips by a line"
)]

use std::path::{Path, PathBuf};

use peft_core::testing::outside;
use peft_train::data::{
    Example, Format, LabelSet, ReadNote, ReadOptions, Roles, Targets, examples, read_table,
};

/// A file of the optional data folder.
fn data(file: &str) -> Option<PathBuf> {
    outside::data(&format!("datasets/{file}"))
}

fn columns(names: &str) -> ReadOptions {
    let columns = Some(names.split(',').map(str::to_string).collect());
    ReadOptions {
        columns,
        ..ReadOptions::default()
    }
}

fn classes(path: &Path, options: &ReadOptions, roles: &Roles) -> (LabelSet, Vec<Example>) {
    let table = read_table(path, options).unwrap();
    let labels = LabelSet::fit(&table, roles).unwrap();
    let examples = examples(&table, roles, Targets::Classes(&labels)).unwrap();
    (labels, examples)
}

#[test]
fn sst2_is_two_columns_without_header() {
    let Some(path) = data("sst2/train.tsv") else {
        return;
    };
    let (labels, examples) = classes(&path, &columns("text,label"), &Roles::default());
    assert_eq!(
        (labels.names().collect::<Vec<_>>(), examples.len()),
        (vec!["0", "1"], 6920)
    );
}

#[test]
fn cola_skips_two_of_its_four_columns() {
    let Some(path) = data("cola/in_domain_train.tsv") else {
        return;
    };
    let (labels, examples) = classes(&path, &columns("_,label,_,text"), &Roles::default());
    assert_eq!((labels.len(), examples.len()), (2, 8551));
}

#[test]
fn stsb_is_a_tsv_called_csv_with_lone_quotes() {
    let Some(path) = data("stsb/sts-train.csv") else {
        return;
    };
    let options = columns("_,_,_,_,score,sentence1,sentence2");
    let table = read_table(&path, &options).unwrap();
    assert_eq!(table.notes, [ReadNote::Separator { separator: '\t' }]);
    let examples = examples(&table, &Roles::default(), Targets::Values).unwrap();
    assert_eq!(examples.len(), 5749);
    assert!(examples.iter().all(|example| example.pair.is_some()));
}

#[test]
fn mrpc_has_a_byte_order_mark_and_a_header_of_its_own() {
    let Some(path) = data("mrpc/msr_paraphrase_train.txt") else {
        return;
    };
    let options = ReadOptions {
        header: Some(true),
        ..columns("label,_,_,sentence1,sentence2")
    };
    let (labels, examples) = classes(&path, &options, &Roles::default());
    assert_eq!((labels.len(), examples.len()), (2, 4076));
    let roles = Roles {
        text: Some("#1 String".to_string()),
        pair: Some("#2 String".to_string()),
        target: Some("Quality".to_string()),
    };
    let options = ReadOptions {
        wanted: roles.names(),
        ..ReadOptions::default()
    };
    assert_eq!(classes(&path, &options, &roles).1, examples);
}

#[test]
fn banking77_has_quoted_cells_and_its_own_label_column() {
    let Some(path) = data("banking77/train.csv") else {
        return;
    };
    let roles = Roles {
        target: Some("category".to_string()),
        ..Roles::default()
    };
    let (labels, examples) = classes(&path, &ReadOptions::default(), &roles);
    assert_eq!((labels.len(), examples.len()), (77, 10003));
    assert_eq!(
        classes(&path, &columns("text,label"), &Roles::default()).1,
        examples
    );
}

#[test]
fn trec_asks_for_a_format_and_then_for_utf_8() {
    let Some(path) = data("trec/TREC.train") else {
        return;
    };
    let error = read_table(&path, &ReadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown data format `train`"), "{error}");
    let tsv = ReadOptions {
        format: Some(Format::Tsv),
        ..columns("text")
    };
    let error = read_table(&path, &tsv).unwrap_err().to_string();
    assert!(
        error.contains("line 66, byte 3695") && error.contains("0xf0"),
        "{error}"
    );
}
