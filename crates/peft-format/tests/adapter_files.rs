//! Adapter folders: round trips, and one test for every kind of malformed input.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use peft_format::file::{
    CONFIG_FILE, FileError, HostTensor, PICKLE_FILE, PeftConfig, StoredDtype, TENSOR_FILE,
    TensorProblem, check_finite, encode_tensors, read_folder, read_tensors, to_json, write_folder,
    write_tensors,
};
use peft_format::target::Target;
use proptest::prelude::*;
use serde_json::Map;

fn config() -> PeftConfig {
    PeftConfig::new("LORA", Target::List(vec!["q_proj".into()]))
}

fn tensors(values: &[f32]) -> BTreeMap<String, HostTensor> {
    let tensor =
        HostTensor::new("x", [values.len()], values.to_vec()).expect("a vector fits its length");
    BTreeMap::from([("base_model.model.x.lora_A.weight".to_owned(), tensor)])
}

/// The error of reading a tensor file with these bytes.
fn error_of(bytes: &[u8]) -> FileError {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().join(TENSOR_FILE);
    fs::write(&path, bytes).expect("the temporary folder is writable");
    let error = read_tensors(&path).expect_err("malformed bytes are refused");
    assert!(
        error.to_string().contains(TENSOR_FILE),
        "the file is named: {error}"
    );
    error
}

/// A safetensors file with this header and this much data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn a_folder_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let written = tensors(&[1.0, -2.5, 0.0]);
    write_folder(folder.path(), &config().to_map(&Map::new()), &written).unwrap();
    let read = read_folder(folder.path()).unwrap();
    assert_eq!(read.tensors, written);
    assert_eq!(read.config.target, config().target);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn the_same_tensors_give_the_same_bytes_with_pytorch_metadata() {
    let encode = || encode_tensors(Path::new("x"), &tensors(&[1.0, 2.0])).unwrap();
    assert_eq!(encode(), encode());
    let header = String::from_utf8_lossy(&encode()[8..]).into_owned();
    assert!(
        header.starts_with(r#"{"__metadata__":{"format":"pt"},"#),
        "{header}"
    );
}

#[test]
fn an_absent_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_folder(folder.path()).unwrap_err();
    assert!(
        matches!(&error, FileError::Missing { path, .. } if path.ends_with(CONFIG_FILE)),
        "{error}"
    );
    fs::write(folder.path().join(CONFIG_FILE), r#"{"peft_type": "LORA"}"#).unwrap();
    let error = read_folder(folder.path()).unwrap_err();
    assert!(
        matches!(&error, FileError::Missing { path, .. } if path.ends_with(TENSOR_FILE)),
        "{error}"
    );
}

#[test]
fn files_under_each_others_names_are_recognised() {
    assert!(matches!(
        error_of(b"PK\x03\x04rest of a torch file"),
        FileError::Misnamed {
            expected: PICKLE_FILE,
            ..
        }
    ));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(CONFIG_FILE), r#"{"peft_type": "LORA"}"#).unwrap();
    let bytes = encode_tensors(Path::new("x"), &tensors(&[1.0])).unwrap();
    fs::write(folder.path().join(PICKLE_FILE), bytes).unwrap();
    let message = read_folder(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("rename it to adapter_model.safetensors"),
        "{message}"
    );
}

#[test]
fn a_folder_of_named_adapters_lists_them() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["sst2", "default", "runs"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["sst2", "default"] {
        write_folder(
            &folder.path().join(name),
            &config().to_map(&Map::new()),
            &tensors(&[1.0]),
        )
        .unwrap();
    }
    let error = read_folder(folder.path()).unwrap_err();
    assert!(
        matches!(&error, FileError::NamedAdapters { names, .. } if names == &["default", "sst2"]),
        "{error}"
    );
}

#[test]
fn what_is_no_plain_file_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(CONFIG_FILE)).unwrap();
    let error = read_folder(folder.path()).unwrap_err();
    assert!(matches!(error, FileError::Io { .. }), "{error}");
    #[cfg(unix)]
    {
        let path = folder.path().join(TENSOR_FILE);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let error = read_tensors(&path).unwrap_err();
        assert!(matches!(error, FileError::Io { .. }), "{error}");
    }
}

#[test]
fn a_config_of_many_megabytes_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(CONFIG_FILE), vec![b' '; 33 << 20]).unwrap();
    let error = read_folder(folder.path()).unwrap_err();
    assert!(matches!(error, FileError::TooLarge { .. }), "{error}");
}

#[test]
fn an_empty_file_is_recognised() {
    assert!(matches!(error_of(b""), FileError::Empty { .. }));
}

#[test]
fn a_git_lfs_pointer_is_recognised_with_the_size_it_names() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:7fee\nsize 83946192\n";
    assert!(matches!(
        error_of(pointer),
        FileError::LfsPointer {
            size: Some(83_946_192),
            ..
        }
    ));
}

#[test]
fn text_that_is_no_safetensors_file_is_shown() {
    let error = error_of(b"mock adapter artifact\n");
    assert!(
        matches!(&error, FileError::NotSafetensors { size: 22, start, .. } if start == "mock adapter art"),
        "{error}"
    );
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = encode_tensors(Path::new("x"), &tensors(&[1.0; 8])).unwrap();
    for length in [1, 7, 8, 20, whole.len() - 1] {
        assert!(
            matches!(error_of(&whole[..length]), FileError::NotSafetensors { .. }),
            "{length} bytes"
        );
    }
}

#[test]
fn headers_that_lie_are_refused() {
    let huge = format!(
        r#"{{"x":{{"dtype":"F32","shape":[{0},{0}],"data_offsets":[0,4]}}}}"#,
        u64::MAX / 2
    );
    for header in [
        r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
        r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}}"#,
        r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
        r#"{"x":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"x":"#,
        huge.as_str(),
    ] {
        assert!(
            matches!(
                error_of(&with_header(header, 4)),
                FileError::NotSafetensors { .. }
            ),
            "{header}"
        );
    }
}

#[test]
fn every_tensor_of_an_unreadable_dtype_is_named() {
    let header = r#"{"a":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[4,8]}}"#;
    match error_of(&with_header(header, 8)) {
        FileError::BadTensors { problems, .. } => assert_eq!(problems.len(), 2),
        other => panic!("{other}"),
    }
}

#[test]
fn tensors_that_do_not_fit_their_shape_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = HostTensor {
        shape: vec![3],
        data: vec![0.0; 2],
        stored: StoredDtype::F32,
    };
    let large = HostTensor::new("b", [1], vec![1e30])
        .unwrap()
        .with_stored(StoredDtype::F16);
    let both = BTreeMap::from([("a".to_owned(), wrong), ("b".to_owned(), large)]);
    match write_tensors(&folder.path().join(TENSOR_FILE), &both).unwrap_err() {
        FileError::BadTensors { problems, .. } => {
            assert!(matches!(
                problems[0],
                TensorProblem::Length { found: 2, .. }
            ));
            assert!(matches!(problems[1], TensorProblem::Overflow { .. }));
        }
        other => panic!("{other}"),
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn values_that_are_not_finite_are_counted_per_tensor() {
    assert!(check_finite(&tensors(&[0.0, f32::MAX])).is_ok());
    let bad = tensors(&[0.0, f32::NAN, f32::INFINITY, f32::NAN]);
    let message = check_finite(&bad).unwrap_err().to_string();
    assert!(
        message.contains("x.lora_A.weight`: 2 NaN, 1 infinite, first at 1"),
        "{message}"
    );
}

#[test]
fn a_config_that_is_not_json_or_no_object_is_refused() {
    let parse =
        |text: &str| PeftConfig::parse(text.as_bytes(), Path::new(CONFIG_FILE)).unwrap_err();
    assert!(matches!(parse("{"), FileError::Json { .. }));
    assert!(matches!(parse(""), FileError::Json { .. }));
    assert!(
        parse("[1]")
            .to_string()
            .contains("must be a JSON object, found [1]")
    );
}

fn tensor() -> impl Strategy<Value = HostTensor> {
    let stored = prop::sample::select(vec![StoredDtype::F32, StoredDtype::F16, StoredDtype::Bf16]);
    (prop::collection::vec(0_usize..4, 0..4), stored).prop_flat_map(|(shape, stored)| {
        let length: usize = shape.iter().product();
        // Quarters up to 32 are exact in every format.
        prop::collection::vec(
            (-128_i16..=128).prop_map(|quarters| f32::from(quarters) / 4.0),
            length,
        )
        .prop_map(move |data| HostTensor {
            shape: shape.clone(),
            data,
            stored,
        })
    })
}

proptest! {
    #[test]
    fn any_tensors_come_back_bit_for_bit(tensors in prop::collection::btree_map("[a-z_.]{1,12}", tensor(), 0..6)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(TENSOR_FILE);
        write_tensors(&path, &tensors).unwrap();
        prop_assert_eq!(read_tensors(&path).unwrap(), tensors);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(TENSOR_FILE);
        fs::write(&path, &bytes).unwrap();
        let _outcome = read_tensors(&path);
        let _outcome = PeftConfig::parse(&bytes, &path);
    }

    #[test]
    fn no_change_of_a_safetensors_file_panics(
        tensors in prop::collection::btree_map("[a-z_.]{1,12}", tensor(), 0..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(TENSOR_FILE);
        let mut bytes = encode_tensors(&path, &tensors).unwrap();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(&path, &bytes).unwrap();
        let _outcome = read_tensors(&path);
    }

    #[test]
    fn a_written_config_reads_back_equal(
        r in 1_usize..512, alpha in 0.5_f64..512.0, names in prop::collection::vec("[a-z_.]{1,10}", 1..4),
        ranks in prop::collection::vec(("[a-z]{1,6}", 1_usize..64), 0..4), dora in any::<bool>(),
    ) {
        let mut config = PeftConfig::new("LORA", Target::List(names));
        (config.r, config.lora_alpha, config.use_dora) = (r, alpha, dora);
        config.rank_pattern = ranks.into_iter().collect();
        let text = to_json(&config.to_map(&Map::new()));
        let mut read = PeftConfig::parse(text.as_bytes(), Path::new("x")).unwrap();
        prop_assert!(read.unknown.is_empty());
        prop_assert_eq!(read.rank_pattern.keys().collect::<Vec<_>>(), config.rank_pattern.keys().collect::<Vec<_>>());
        read.raw = Map::new();
        prop_assert_eq!(read, config);
    }
}
