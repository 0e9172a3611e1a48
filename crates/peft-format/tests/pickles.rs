//! PyTorch files: every form that torch.save has had, and files that claim more than they hold.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use peft_format::file::{FileError, HostTensor, StoredDtype, read_pickle, read_tensors};
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/pickles")
        .join(name)
}

fn read(bytes: &[u8]) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_model.bin");
    fs::write(&path, bytes).unwrap();
    read_pickle(&path)
}

/// Why a file was refused.
fn reason(bytes: &[u8]) -> String {
    match read(bytes).unwrap_err() {
        FileError::NotPickle { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

/// An archive as torch.save writes it, with this pickle and storages.
fn archive(pickle: &[u8], storages: &[&[u8]], method: CompressionMethod) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut zip = ZipWriter::new(&mut bytes);
    let options = SimpleFileOptions::default().compression_method(method);
    zip.start_file("archive/data.pkl", options).unwrap();
    zip.write_all(pickle).unwrap();
    for (index, storage) in storages.iter().enumerate() {
        zip.start_file(format!("archive/data/{index}"), options)
            .unwrap();
        zip.write_all(storage).unwrap();
    }
    zip.finish().unwrap();
    bytes.into_inner()
}

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    [b"X", length.as_slice(), text.as_bytes()].concat()
}

fn sizes(sizes: &[i32]) -> Vec<u8> {
    let items = sizes
        .iter()
        .flat_map(|size| [b"J".as_slice(), &size.to_le_bytes()].concat());
    [b"(".to_vec(), items.collect(), b"t".to_vec()].concat()
}

/// A state dict of F32 tensors of storage 0, which has `count` elements; each has a shape and strides.
fn state_dict(count: i32, tensors: &[(&[i32], &[i32])]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec();
    for (index, (shape, strides)) in tensors.iter().enumerate() {
        pickle.extend(text(&format!("t{index}")));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend([text("0"), text("cpu"), b"J".to_vec()].concat());
        pickle.extend(count.to_le_bytes());
        pickle.extend(b"tQK\0");
        pickle.extend([sizes(shape), sizes(strides)].concat());
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"u.");
    pickle
}

#[test]
fn every_form_gives_the_values_that_python_wrote() {
    for (form, expected) in [
        ("zip.bin", "tensors.safetensors"),
        ("unchecked.bin", "tensors.safetensors"),
        ("legacy.bin", "tensors.safetensors"),
        ("tar.bin", "tar.safetensors"),
    ] {
        let found = read_pickle(&golden(form)).unwrap();
        assert_eq!(found, read_tensors(&golden(expected)).unwrap(), "{form}");
        assert!(
            found
                .values()
                .any(|tensor| tensor.data.iter().any(|value| *value != 0.0))
        );
    }
    let dtypes: Vec<StoredDtype> = read_pickle(&golden("zip.bin"))
        .unwrap()
        .values()
        .map(|tensor| tensor.stored)
        .collect();
    use StoredDtype::{Bf16, F16, F32, F64};
    assert_eq!(dtypes, [F32, F32, F16, F64, F32, Bf16, F32, F32]);
}

#[test]
fn integers_are_kept_as_they_are() {
    let tensors = read_pickle(&golden("integers.bin")).unwrap();
    let ids = &tensors["position_ids"];
    assert_eq!(
        (&ids.data[..], ids.stored),
        (&[0.0, 1.0, 2.0][..], StoredDtype::I64)
    );
    assert_eq!(tensors["lora_A"].stored, StoredDtype::F32);
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    for form in ["zip.bin", "legacy.bin", "tar.bin"] {
        let whole = fs::read(golden(form)).unwrap();
        // A tar archive may lack what fills its last blocks.
        let end = if form == "tar.bin" { 3600 } else { whole.len() };
        for length in (1..end).step_by(7) {
            let error = read(&whole[..length]).expect_err(&format!("{form}, {length} bytes"));
            assert!(error.to_string().contains("adapter_model.bin"), "{error}");
        }
    }
}

#[test]
fn compressed_archives_are_refused_before_they_expand() {
    let zeros = vec![0; 64 << 20];
    let bomb = archive(
        &state_dict(16 << 20, &[(&[16 << 20], &[1])]),
        &[&zeros],
        CompressionMethod::Deflated,
    );
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    assert!(reason(&bomb).contains("compressed"));
}

#[test]
fn tensors_that_claim_more_than_the_file_holds_are_refused() {
    let storage = [0; 64];
    let stored = CompressionMethod::Stored;
    let expanded = archive(&state_dict(16, &[(&[1 << 28], &[0])]), &[&storage], stored);
    assert!(reason(&expanded).contains("claim 1073741824 bytes"));
    let longer = archive(
        &state_dict(1 << 20, &[(&[1 << 20], &[1])]),
        &[&storage],
        stored,
    );
    assert!(!reason(&longer).is_empty());
    let beyond = archive(&state_dict(16, &[(&[17], &[1])]), &[&storage], stored);
    assert!(reason(&beyond).contains("needs 17 elements"));
}

#[test]
fn a_few_views_of_a_storage_are_read_and_thousands_are_refused() {
    let values: Vec<u8> = (0..4096_u16)
        .flat_map(|value| f32::from(value).to_le_bytes())
        .collect();
    let views = |count| {
        let tensor: (&[i32], &[i32]) = (&[64, 64], &[1, 64]);
        archive(
            &state_dict(4096, &vec![tensor; count]),
            &[&values],
            CompressionMethod::Stored,
        )
    };
    let few = read(&views(3)).unwrap();
    assert_eq!((few.len(), few["t2"].data[1]), (3, 64.0));
    assert!(reason(&views(4000)).contains("its 4000 tensors claim 65536000 bytes"));
}

#[test]
fn a_pickle_of_endless_operations_is_refused() {
    let none = vec![b'N'; 2 << 20];
    let zip = archive(&none, &[], CompressionMethod::Stored);
    assert!(reason(&zip).contains("operations"));
    let magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
    assert!(reason(&[magic.as_slice(), &none].concat()).contains("operations"));
}

#[test]
fn a_class_with_a_long_name_that_is_fetched_often_is_refused() {
    let mut pickle = b"\x80\x02c".to_vec();
    pickle.resize(60_000, b'm');
    pickle.extend(b"\nname\nq\x00(");
    pickle.extend(b"h\x00".repeat(100_000));
    pickle.extend(b"t.");
    let bytes = archive(&pickle, &[], CompressionMethod::Stored);
    assert!(reason(&bytes).contains("bytes of copies"));
}

#[test]
fn an_archive_that_claims_billions_of_entries_is_refused() {
    let mut bytes = fs::read(golden("zip.bin")).unwrap();
    let record = bytes
        .windows(4)
        .rposition(|window| window == b"PK\x06\x06")
        .unwrap();
    bytes[record + 32..record + 40].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    assert!(reason(&bytes).contains("1099511627776 entries"));
}

#[test]
fn a_sparse_entry_of_a_tar_archive_is_refused() {
    let mut header = tar::Header::new_gnu();
    header.set_path("pickle").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 40);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    // As old writers mark it.
    bytes.resize(4096, 0);
    assert!(!reason(&bytes).is_empty());
}

/// The dearest pickles within the limits: opcodes of a byte that each become an object, and copies of a nested one.
fn dearest() -> Vec<Vec<u8>> {
    let nested = [b"}K\0".repeat(900), b"}".to_vec(), b"s".repeat(900)].concat();
    let copies = [b"q\0(".to_vec(), b"h\0".repeat(1100), b"t".to_vec()].concat();
    let pickles = [
        vec![b'N'; 999_990],
        b"}K\x01Ns".repeat(249_990),
        [vec![b'N'], vec![0x94; 999_980]].concat(),
        [nested, copies].concat(),
    ];
    pickles
        .map(|body| [b"\x80\x02".to_vec(), body, b".".to_vec()].concat())
        .to_vec()
}

#[cfg(target_os = "linux")]
#[test]
fn the_dearest_pickles_that_are_read_take_less_than_a_gigabyte() {
    const CHILD: &str = "PEFT_TEST_CHILD_READS";
    if std::env::var_os(CHILD).is_some() {
        for pickle in dearest() {
            let outcome = read(&archive(&pickle, &[], CompressionMethod::Stored));
            // It is interpreted, whatever comes of it.
            assert!(!format!("{outcome:?}").contains("that tensors need"));
        }
        return;
    }
    let test = "the_dearest_pickles_that_are_read_take_less_than_a_gigabyte";
    let status = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 1048576; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(CHILD, "1")
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_call_in_a_pickle_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let command = format!("touch {}", trace.display());
    let call = [
        b"\x80\x02}".to_vec(),
        text("k"),
        b"cos\nsystem\n(".to_vec(),
        text(&command),
        b"tRs.".to_vec(),
    ];
    let bytes = archive(&call.concat(), &[], CompressionMethod::Stored);
    assert_eq!(read(&bytes).unwrap(), BTreeMap::new());
    assert!(!trace.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_change_of_a_few_bytes_panics(
        form in prop::sample::select(vec!["unchecked.bin", "legacy.bin", "tar.bin", "integers.bin"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = fs::read(golden(form)).unwrap();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _outcome = read(&bytes);
    }
}
