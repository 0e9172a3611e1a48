//! Parquet files of Python, read as tables and as conversations. Built with the feature `parquet` alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::decoder::Place;
use binary::{failure, json};

fn golden(name: &str) -> String {
    format!(
        "{}/../peft-parquet/tests/golden/{name}.parquet",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[test]
fn rows_and_conversations_become_examples() {
    let place = Place::new();
    let template = "{% for m in messages %}{{ '[CLS] ' + m.content + ' [SEP]' }}{% endfor %}";
    std::fs::write(place.path("model/chat_template.jinja"), template).unwrap();
    let model = place.path("model");
    let account = |name: &str| {
        let file = golden(name);
        let read = [
            "data",
            "--task",
            "causal-lm",
            "--model",
            &model,
            "--train",
            &file,
        ];
        json(&read)["train"].clone()
    };
    let chats = account("chats");
    assert_eq!((&chats["rows"], &chats["examples"]), (&2.into(), &2.into()));
    let rows = golden("zstd");
    let read = [
        "data", "--task", "seq-cls", "--model", &model, "--train", &rows,
    ];
    let (code, error) = failure(&read);
    assert!(
        code == 1 && error.contains("line 3: column `text`"),
        "an empty cell is named: {error}"
    );
}
