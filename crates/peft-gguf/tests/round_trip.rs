//! What is written is read again, whole files and files in several parts.

mod common;

use std::fs;

use common::{golden, whole};
use peft_gguf::{
    FormatError, GgmlType, GgufError, GgufFile, GgufModel, GgufWriter, Value, shard_name,
};

fn writer(tensors: &[(&str, &[u64], GgmlType)]) -> GgufWriter {
    let mut writer = GgufWriter::new();
    writer
        .insert("general.architecture", "llama")
        .expect("a writable header");
    for (name, shape, kind) in tensors {
        writer
            .declare(name, shape, *kind)
            .expect("a writable header");
    }
    writer
}

#[test]
fn every_format_shape_and_alignment_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    for alignment in [1_u32, 8, 32, 4096] {
        let mut writer = writer(&[]);
        writer.insert("general.alignment", alignment).unwrap();
        let kinds: Vec<_> = GgmlType::all().collect();
        for kind in &kinds {
            writer
                .declare(kind.name(), &[2, 1, 3, 2 * kind.block_values()], *kind)
                .unwrap();
        }
        writer.declare("scalar", &[], GgmlType::F32).unwrap();
        let content = |bytes: u64| {
            (0..bytes)
                .map(|at| (at * 7 % 251) as u8)
                .collect::<Vec<_>>()
        };
        writer
            .write(&path, |info, out| out.write(&content(info.bytes())))
            .unwrap();
        let file = GgufFile::open(&path).unwrap();
        assert_eq!(file.header().alignment(), u64::from(alignment));
        assert_eq!(file.tensors().len(), kinds.len() + 1);
        for kind in kinds {
            let packed = file.read(kind.name()).unwrap();
            assert_eq!(
                (packed.kind(), packed.shape()),
                (kind, &[2, 1, 3, 2 * kind.block_values()][..])
            );
            assert_eq!(**packed.bytes(), *content(12 * kind.block_bytes()));
        }
        assert_eq!(
            (
                file.read("scalar").unwrap().rows(),
                file.values("scalar").unwrap().len()
            ),
            (1, 1)
        );
    }
}

#[test]
fn values_are_made_into_blocks_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let writer = writer(&[("w", &[4, 256], GgmlType::Q4_K)]);
    let row = |row: usize| {
        (0..256)
            .map(|at| ((at * row) as f32).sin())
            .collect::<Vec<_>>()
    };
    writer
        .write(&path, |_, out| {
            (1..5).try_for_each(|at| out.write_values(&row(at)))
        })
        .unwrap();
    let file = GgufFile::open(&path).unwrap();
    let values = file.read_rows("w", 2..3).unwrap().values().unwrap();
    let error = values
        .iter()
        .zip(row(3))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(error < 0.1 && error > 0.0, "{error}");
}

#[test]
fn what_llama_cpp_could_not_read_is_refused() {
    let mut writer = writer(&[("w", &[2], GgmlType::F32)]);
    let refused = [
        writer.declare("w", &[2], GgmlType::F32),
        writer.declare("", &[2], GgmlType::F32),
        writer.declare(&"w".repeat(64), &[2], GgmlType::F32),
        writer.declare("v", &[1; 5], GgmlType::F32),
        writer.declare("v", &[2, 0], GgmlType::F32),
        writer.declare("v", &[2, 33], GgmlType::Q8_0),
        writer.declare("v", &[1 << 32, 1 << 32], GgmlType::F32),
        writer.insert("general.architecture", "gpt2"),
        writer.insert("", 1_u32),
        writer.insert("general.alignment", 3_u32),
        writer.insert("general.alignment", 32_u64),
    ];
    for (number, outcome) in refused.into_iter().enumerate() {
        assert!(outcome.is_err(), "{number}");
    }
    writer
        .declare(&"w".repeat(63), &[1 << 60], GgmlType::F32)
        .unwrap();
    writer.declare("v", &[1 << 60], GgmlType::F32).unwrap();
    let outcome = writer.write(&tempfile::tempdir().unwrap().path().join("a"), |_, _| {
        Ok::<_, GgufError>(())
    });
    let source = FormatError::TooLarge {
        name: "v".into(),
        shape: vec![1 << 60],
    };
    assert!(whole(&outcome.unwrap_err()).ends_with(&source.to_string()));
}

#[test]
fn a_writer_that_fails_leaves_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    fs::write(&path, "old").unwrap();
    let writer = writer(&[("w", &[2, 2], GgmlType::F32)]);
    let wrong = |bytes: usize| {
        writer
            .write(&path, |_, out| out.write(&vec![1; bytes]))
            .unwrap_err()
    };
    assert!(matches!(
        wrong(15),
        GgufError::Written {
            expected: 16,
            found: 15,
            ..
        }
    ));
    assert!(matches!(
        wrong(17),
        GgufError::Written {
            expected: 16,
            found: 17,
            ..
        }
    ));
    let error: GgufError = writer
        .write(&path, |_, out| out.write_values(&[1.0, f32::NAN]))
        .unwrap_err();
    assert!(
        whole(&error).contains("a.gguf: `w`: value 1 is NaN"),
        "{}",
        whole(&error)
    );
    #[derive(Debug, thiserror::Error)]
    #[error("mine")]
    struct Mine;
    let error: Box<dyn std::error::Error> = writer
        .write(&path, |_, _| Err(Box::from(Mine)))
        .unwrap_err();
    assert!(error.is::<Mine>());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_parts_of_the_python_package_are_one_model() {
    for number in 1..=3 {
        let model = GgufModel::open(&golden(&shard_name("split", number, 3))).unwrap();
        assert_eq!(model.files().len(), 3);
        assert_eq!(model.metadata().u64("llama.block_count").unwrap(), 3);
        let names: Vec<_> = model.tensors().map(|info| info.name().to_owned()).collect();
        assert_eq!(
            names,
            (0..5)
                .map(|number| format!("blk.{number}.weight"))
                .collect::<Vec<_>>()
        );
        for (number, name) in names.iter().enumerate() {
            assert_eq!(model.values(name).unwrap(), [number as f32; 8]);
            assert_eq!(model.read_rows(name, 0..1).unwrap().rows(), 1);
        }
        assert!(model.contains("blk.4.weight") && model.read("blk.5.weight").is_err());
    }
    let whole = GgufModel::open(&golden("every_type.gguf")).unwrap();
    assert_eq!(whole.files().len(), 1);
}

/// Two files of a model, changed by `change`, which is given the number from 1 and may add entries; opened by the second.
fn two(
    change: impl Fn(u64, &mut Vec<(&'static str, Value)>) -> &'static str,
) -> Result<GgufModel, GgufError> {
    let folder = tempfile::tempdir().expect("a folder");
    for number in [1, 2] {
        let mut entries: Vec<(&str, Value)> = vec![
            ("split.no", (number as u16 - 1).into()),
            ("split.count", 2_u16.into()),
            ("split.tensors.count", 2_i32.into()),
        ];
        let name = change(number, &mut entries);
        let mut writer = writer(&[(name, &[2], GgmlType::F32)]);
        for (key, value) in entries {
            writer.insert(key, value).expect("a file");
        }
        let path = folder.path().join(shard_name("m", number, 2));
        writer
            .write(&path, |_, out| out.write_values(&[number as f32, 0.0]))
            .expect("a file");
    }
    GgufModel::open(&folder.path().join(shard_name("m", 2, 2)))
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let name = |number: u64| if number == 1 { "a" } else { "b" };
    let message = |outcome: Result<GgufModel, GgufError>| whole(&outcome.unwrap_err());
    let model = two(|number, _| name(number)).unwrap();
    assert_eq!(
        (model.values("a").unwrap(), model.values("b").unwrap()),
        (vec![1.0, 0.0], vec![2.0, 0.0])
    );
    let set = |at: u64, place: usize, value: Value| {
        two(move |number, entries| {
            if number == at {
                entries[place].1 = value.clone();
            }
            name(number)
        })
    };
    assert!(message(set(1, 0, 1_u16.into())).contains("split.no 0 expected, found 1"));
    assert!(message(set(1, 1, 3_u16.into())).contains("split.count 2 expected, found 3"));
    assert!(message(set(2, 1, 3_u16.into())).contains("must be called `..-00002-of-00003.gguf`"));
    assert!(message(set(2, 0, u64::MAX.into())).contains("must be called"));
    assert!(message(set(2, 1, "two".into())).contains("`split.count` must be an integer"));
    assert!(
        message(set(1, 2, 7_i32.into()))
            .contains("split.tensors.count 2 (the tensors of all files) expected, found 7")
    );
    assert!(message(two(|_, _| "a")).contains("in one file, `a`"));
    let gone = two(|number, entries| {
        if number == 1 {
            entries.remove(0);
        }
        name(number)
    });
    assert!(message(gone).contains("no `split.no`"));
}

#[test]
fn missing_parts_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(shard_name("split", 2, 3));
    fs::copy(golden("split-00002-of-00003.gguf"), &path).unwrap();
    let error = GgufModel::open(&path).unwrap_err();
    let GgufError::MissingShards {
        missing, count: 3, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(
        *missing,
        ["split-00001-of-00003.gguf", "split-00003-of-00003.gguf"]
    );
    let alone = folder.path().join("model.gguf");
    fs::copy(&path, &alone).unwrap();
    let error = whole(&GgufModel::open(&alone).unwrap_err());
    assert!(
        error.contains("is file 2 of 3 and must be called"),
        "{error}"
    );
}
