//! From tables to examples: roles, labels, values, and the rows that are refused.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

use peft_train::TrainError;
use peft_train::data::{
    Example, LabelSet, ReadOptions, Roles, RowFault, Table, TableError, Target, TargetKind,
    Targets, examples, read_table,
};

fn table(name: &str, content: &str) -> Table {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    read_table(&path, &ReadOptions::default()).unwrap()
}

fn classes(table: &Table) -> (LabelSet, Vec<Example>) {
    let roles = Roles::default();
    let labels = LabelSet::fit(table, &roles).unwrap();
    let examples = examples(table, &roles, Targets::Classes(&labels)).unwrap();
    (labels, examples)
}

fn names(labels: &LabelSet) -> Vec<&str> {
    labels.names().collect()
}

fn faults<T: std::fmt::Debug>(result: Result<T, TrainError>) -> Vec<(u64, RowFault)> {
    match result {
        Err(TrainError::Rows { problems, .. }) => problems
            .into_iter()
            .map(|problem| (problem.line, problem.fault))
            .collect(),
        other => panic!("expected a report of rows, found {other:?}"),
    }
}

#[test]
fn whole_numbers_are_sorted_as_numbers_and_words_as_words() {
    let (labels, found) = classes(&table("a.csv", "text,label\na,10\nb,2\nc,-1\n"));
    assert_eq!(names(&labels), ["-1", "2", "10"]);
    let targets: Vec<Target> = found.iter().map(|example| example.target).collect();
    assert_eq!(
        targets,
        [Target::Class(2), Target::Class(1), Target::Class(0)]
    );
    let (labels, _) = classes(&table("a.csv", "text,label\na,sad\nb, happy \nc,10\nd,9\n"));
    assert_eq!(names(&labels), ["10", "9", "happy", "sad"]);
    assert_eq!(
        serde_json::to_string(&labels.label2id()).unwrap(),
        r#"{"10":0,"9":1,"happy":2,"sad":3}"#
    );
}

#[test]
fn json_numbers_and_booleans_are_the_labels_that_their_text_is() {
    let train = table("a.csv", "text,label\na,1\nb,0\n");
    let (labels, _) = classes(&train);
    let valid = table("a.jsonl", "{\"text\": \"x\", \"label\": 1}\n");
    let found = examples(&valid, &Roles::default(), Targets::Classes(&labels)).unwrap();
    assert_eq!(found[0].target, Target::Class(1));
    let (labels, _) = classes(&table(
        "a.jsonl",
        "{\"text\": \"x\", \"label\": true}\n{\"text\": \"y\", \"label\": false}",
    ));
    assert_eq!(names(&labels), ["false", "true"]);
}

#[test]
fn unknown_labels_are_all_reported_with_their_lines() {
    let (labels, _) = classes(&table("a.csv", "text,label\na,no\nb,yes\n"));
    let valid = table("b.csv", "text,label\nx,yes\ny,maybe\nz,never\n");
    let result = examples(&valid, &Roles::default(), Targets::Classes(&labels));
    let found = faults(result);
    assert_eq!(
        found.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [3, 4]
    );
    let text = found[0].1.to_string();
    let expected = "column `label`: label `maybe` is unknown, expected one of the 2 labels of the training file (no, yes)";
    assert_eq!(text, expected);
}

#[test]
fn missing_labels_and_texts_are_all_reported_with_their_lines() {
    let file = table(
        "a.jsonl",
        "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": null}\n{\"text\": \"c\"}\n{\"text\": \"d\", \"label\": \" \"}\n{\"text\": \"e\", \"label\": [1]}\n",
    );
    let found = faults(LabelSet::fit(&file, &Roles::default()));
    assert_eq!(
        found.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [2, 3, 4, 5]
    );
    assert_eq!(
        found[0].1,
        RowFault::EmptyCell {
            column: "label".to_string(),
            expected: "a label"
        }
    );
    let file = table(
        "a.jsonl",
        "{\"text\": \" \"}\n{\"text\": 5}\n{\"text\": \"c\"}\n",
    );
    let found = faults(examples(&file, &Roles::default(), Targets::Unknown));
    assert_eq!(
        found.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(
        found[1].1.to_string(),
        "column `text`: expected a text, found a number"
    );
}

#[test]
fn a_header_among_whole_number_labels_is_recognised() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("a.tsv");
    std::fs::write(&path, "Quality\tString\n1\ta\n0\tb\n").unwrap();
    let options = ReadOptions {
        columns: Some(vec!["label".to_string(), "text".to_string()]),
        ..ReadOptions::default()
    };
    let error = read_table(&path, &options).unwrap_err().to_string();
    assert!(
        error.contains("--columns label=Quality,text=String"),
        "{error}"
    );
    // Whoever insists that there is no header is still asked about the word among the numbers.
    let insisted = ReadOptions {
        header: Some(false),
        ..options
    };
    let file = read_table(&path, &insisted).unwrap();
    let found = faults(LabelSet::fit(&file, &Roles::default()));
    let label = "Quality".to_string();
    assert_eq!(
        found,
        [(
            1,
            RowFault::HeaderAsLabel {
                column: "label".to_string(),
                label
            }
        )]
    );
}

#[test]
fn one_label_in_several_spellings_is_one_class() {
    let (labels, found) = classes(&table(
        "a.jsonl",
        "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 1.0}\n{\"text\": \"c\", \"label\": \"1\"}\n\
         {\"text\": \"d\", \"label\": \"0.0\"}\n",
    ));
    assert_eq!(names(&labels), ["0", "1"]);
    let targets: Vec<Target> = found.iter().map(|example| example.target).collect();
    let (zero, one) = (Target::Class(0), Target::Class(1));
    assert_eq!(targets, [one, one, one, zero]);
    let (labels, found) = classes(&table(
        "a.csv",
        "text,label\na,True\nb,FALSE\nc,true\nd,False\n",
    ));
    assert_eq!(names(&labels), ["FALSE", "True"]);
    assert_eq!((found[0].target, found[2].target), (one, one));
    assert_eq!((labels.id("false"), labels.id("TRUE")), (Some(0), Some(1)));
}

#[test]
fn one_number_in_two_spellings_is_asked_about() {
    for content in [
        "text,label\na,0.5\nb,0.50\n",
        "text,label\na,1\nb,01\nc,2\n",
    ] {
        let error = LabelSet::fit(&table("a.csv", content), &Roles::default()).unwrap_err();
        assert!(
            matches!(error, TrainError::Table(TableError::SameNumber { .. })),
            "{error:?}"
        );
    }
    let (labels, _) = classes(&table("a.csv", "text,label\na,1.5\nb,1\nc,Good\nd,good\n"));
    assert_eq!(names(&labels), ["1", "1.5", "Good", "good"]);
    assert_eq!(labels.alike(), [("Good".to_string(), "good".to_string())]);
}

#[test]
fn ids_stand_for_the_labels_of_a_model_where_that_is_said() {
    let named = || LabelSet::from_names(vec!["POS".to_string(), "NEG".to_string()]).unwrap();
    assert_eq!(named().id("1"), None);
    let with_ids = named().with_ids();
    assert_eq!(
        (with_ids.id("1"), with_ids.id("POS"), with_ids.id("2")),
        (Some(1), Some(0), None)
    );
    let numbers = LabelSet::from_names(vec!["1".to_string(), "0".to_string()]).unwrap();
    assert_eq!(numbers.with_ids().id("1"), Some(0));
}

#[test]
fn regression_takes_finite_numbers_only() {
    let file = table("a.csv", "sentence1,sentence2,score\na,b,4.75\nc,d,-1e3\n");
    let found = examples(&file, &Roles::default(), Targets::Values).unwrap();
    assert_eq!(found[0].pair.as_deref(), Some("b"));
    assert_eq!(found[1].target, Target::Value(-1000.0));
    let file = table(
        "a.csv",
        "text,score\na,1\nb,NaN\nc,inf\nd,\ne,five\nf,1e999\n",
    );
    let found = faults(examples(&file, &Roles::default(), Targets::Values));
    assert_eq!(
        found.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [3, 4, 5, 6, 7]
    );
    assert_eq!(
        found[3].1.to_string(),
        "column `score`: expected a finite number, found `five`"
    );
}

#[test]
fn columns_are_found_by_the_usual_names_or_by_given_ones() {
    let file = table("a.csv", "idx,Sentence,label,score\n7,a,x,0.5\n8,b,y,0.25\n");
    let roles = Roles::default();
    let of_kind = |kind| roles.resolve(&file, kind).unwrap();
    assert_eq!(
        (
            of_kind(TargetKind::Class).text,
            of_kind(TargetKind::Class).target
        ),
        (1, Some(2))
    );
    assert_eq!(of_kind(TargetKind::Value).target, Some(3));
    assert_eq!(of_kind(TargetKind::None).target, None);
    let own = Roles {
        text: Some("label".to_string()),
        pair: Some("sentence".to_string()),
        target: Some("idx".to_string()),
    };
    let found = own.resolve(&file, TargetKind::Class).unwrap();
    assert_eq!(
        (found.text, found.pair, found.target),
        (2, Some(1), Some(0))
    );
}

#[test]
fn a_missing_or_doubled_column_is_named_with_those_there_are() {
    let cases = [
        (
            "sentence1,label\na,1\n",
            "no column [\"sentence2\"], found [\"sentence1\", \"label\"]",
        ),
        (
            "text,topic\na,1\n",
            "no column [\"label\", \"score\"], found [\"text\", \"topic\"]",
        ),
        (
            "title,label\na,1\n",
            "no column [\"text\", \"sentence1\", \"sentence\"]",
        ),
        ("text,TEXT,label\na,b,1\n", "two columns are named `text`"),
    ];
    for (content, expected) in cases {
        let error = Roles::default().resolve(&table("a.csv", content), TargetKind::Class);
        let message = error.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn labels_of_a_model_keep_their_order_and_must_differ() {
    let labels = LabelSet::from_names(vec!["POS".to_string(), "NEG".to_string()]).unwrap();
    assert_eq!(
        (labels.id("NEG"), labels.name(0), labels.name(2)),
        (Some(1), Some("POS"), None)
    );
    assert!(LabelSet::from_names(vec!["a".to_string(), "a".to_string()]).is_err());
    assert!(LabelSet::from_names(Vec::new()).is_err());
}
