//! Files of the Python package `gguf`: read, and written again to the same bytes.

mod common;

use std::fs;

use common::{golden, rewritten};
use peft_gguf::{Array, GgmlType, GgufFile, MetadataError, Value};

#[test]
fn every_type_of_value_is_read() {
    let file = GgufFile::open(&golden("every_type.gguf")).unwrap();
    let meta = file.metadata();
    assert_eq!(file.header().version(), 3);
    assert_eq!(meta.text("general.architecture").unwrap(), "llama");
    assert_eq!(meta.get("a.u8"), Some(&Value::U8(200)));
    assert_eq!(meta.get("a.i8"), Some(&Value::I8(-100)));
    assert_eq!(meta.get("a.u16"), Some(&Value::U16(60_000)));
    assert_eq!(meta.get("a.i16"), Some(&Value::I16(-30_000)));
    assert_eq!(meta.u64("llama.block_count").unwrap(), 4_000_000_000);
    assert_eq!(meta.u32("llama.block_count").unwrap(), 4_000_000_000);
    assert_eq!(meta.i64("a.i32").unwrap(), -2_000_000_000);
    assert_eq!(meta.u64("a.u64").unwrap(), u64::MAX);
    assert_eq!(meta.i64("a.i64").unwrap(), i64::MIN);
    assert_eq!(meta.f32("a.f32").unwrap(), 1e-5);
    assert_eq!(meta.f64("a.f32").unwrap(), f64::from(1e-5_f32));
    assert_eq!(meta.f64("a.f64").unwrap(), 1e-300);
    assert!(meta.bool("a.bool").unwrap());
    assert_eq!(meta.text("a.text").unwrap(), "café 🦀");
    let tokens: Vec<_> = meta
        .texts("tokenizer.ggml.tokens")
        .unwrap()
        .iter()
        .collect();
    assert_eq!(tokens, ["<s>", "", "▁the", "é"]);
    assert_eq!(
        meta.f32s("tokenizer.ggml.scores").unwrap(),
        [0.0, -1.5, -2.25]
    );
    assert_eq!(meta.i32s("tokenizer.ggml.token_type").unwrap(), [3, 1, -1]);
    assert_eq!(
        meta.integers("tokenizer.ggml.token_type").unwrap(),
        [3, 1, -1]
    );
    assert_eq!(meta.integers("a.u8").unwrap(), [200]);
    assert_eq!(
        meta.array("a.bools").unwrap(),
        &Array::Bool(vec![true, false, true])
    );
}

#[test]
fn tensors_have_the_shapes_and_values_of_numpy() {
    let file = GgufFile::open(&golden("every_type.gguf")).unwrap();
    let table = file.tensor("token_embd.weight").unwrap();
    assert_eq!(
        (table.shape(), table.rows(), table.columns()),
        (&[2, 3][..], 2, 3)
    );
    assert_eq!(
        file.values("token_embd.weight").unwrap(),
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    );
    let second = file.read_rows("token_embd.weight", 1..2).unwrap();
    assert_eq!(
        (second.shape(), second.values().unwrap()),
        (&[1, 3][..], vec![3.0, 4.0, 5.0])
    );
    let conv = file.tensor("blk.0.conv").unwrap();
    assert_eq!(
        (conv.shape(), conv.rows(), conv.row_bytes()),
        (&[2, 3, 4][..], 6, 8)
    );
    assert_eq!(
        file.read_rows("blk.0.conv", 5..6)
            .unwrap()
            .values()
            .unwrap(),
        [20.0, 21.0, 22.0, 23.0]
    );
    assert_eq!(file.read_rows("blk.0.conv", 6..6).unwrap().bytes().len(), 0);
    assert_eq!(file.values("integers").unwrap(), [1.0, -2.0, 3.0]);
    assert_eq!(file.values("doubles").unwrap(), [0.1]);
    assert_eq!(file.tensor("doubles").unwrap().kind(), GgmlType::F64);
}

#[test]
fn errors_name_key_expected_and_found() {
    let file = GgufFile::open(&golden("every_type.gguf")).unwrap();
    let meta = file.metadata();
    let message = |error: MetadataError| error.to_string();
    assert_eq!(
        message(meta.u64("general.architecture").unwrap_err()),
        "`general.architecture` must be an integer from 0 to 2^64 - 1, found text \"llama\""
    );
    assert_eq!(
        message(meta.u64("a.i8").unwrap_err()),
        "`a.i8` must be an integer from 0 to 2^64 - 1, found i8 -100"
    );
    assert_eq!(
        message(meta.f32s("tokenizer.ggml.tokens").unwrap_err()),
        "`tokenizer.ggml.tokens` must be an array of f32, found array of 4 text"
    );
    assert_eq!(
        message(meta.u64("qwen2.block_count").unwrap_err()),
        "the metadata has no `qwen2.block_count`, which should be an integer from 0 to 2^64 - 1"
    );
    let near = message(meta.text("general.achitecture").unwrap_err());
    assert!(near.ends_with("; it has `general.architecture`"), "{near}");
    let error = file.tensor("token_emb.weight").unwrap_err().to_string();
    assert!(
        error.contains("every_type.gguf") && error.ends_with("it has `token_embd.weight`"),
        "{error}"
    );
    let error = file
        .read_rows("token_embd.weight", 1..3)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("`token_embd.weight` has rows 0 to 2, asked for 1 to 3"),
        "{error}"
    );
}

#[test]
fn what_the_package_wrote_is_written_again_to_the_byte() {
    for name in [
        "every_type.gguf",
        "formats.gguf",
        "split-00001-of-00003.gguf",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("again.gguf");
        rewritten(&golden(name), &path).unwrap();
        assert!(
            fs::read(&path).unwrap() == fs::read(golden(name)).unwrap(),
            "{name}"
        );
    }
}
