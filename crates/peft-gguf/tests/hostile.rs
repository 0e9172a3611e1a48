//! Files that are damaged, cut or made to harm: each is an error that says what is wrong, and none costs memory.

mod common;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use common::whole;
use peak_alloc::PeakAlloc;
use peft_gguf::{FormatError, GgmlType, GgufError, GgufFile, GgufWriter, Header, Strings};
use proptest::prelude::*;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// What a reader may take beside the file's own size: buffers, and what the test harness does at the same time.
const ROOM: usize = 256 << 10;

/// Every test of this file holds it: the memory that is counted is the whole process's.
static MEMORY: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A small valid file, made once: the writer's buffer would count as the reader's.
static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| made().expect("a small file can be written"));

fn made() -> Result<Vec<u8>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.gguf");
    let mut writer = GgufWriter::new();
    writer.insert("general.alignment", 32_u32)?;
    writer.insert("text", "abc")?;
    writer.insert("texts", ["d", "ef"].into_iter().collect::<Strings>())?;
    writer.insert("bool", true)?;
    writer.insert("bools", vec![true, false])?;
    writer.insert("numbers", vec![1_u16, 2, 3])?;
    writer.declare("first", &[2, 32], GgmlType::Q8_0)?;
    writer.declare("other", &[3], GgmlType::F32)?;
    writer.write(&path, |info, out| {
        out.write_values(&vec![1.0; (info.rows() * info.columns()) as usize])
    })?;
    Ok(fs::read(&path)?)
}

fn valid() -> Vec<u8> {
    VALID.clone()
}

/// Where `text` stands in a file.
fn find(bytes: &[u8], text: &str) -> usize {
    let mut places = bytes.windows(text.len()).enumerate();
    places
        .find(|(_, window)| *window == text.as_bytes())
        .expect("the file has the text")
        .0
}

/// The bytes with others at a place.
fn put<const N: usize>(at: usize, new: [u8; N]) -> Vec<u8> {
    let mut bytes = valid();
    bytes[at..at + N].copy_from_slice(&new);
    bytes
}

/// Puts bytes at a distance behind the end of a name.
fn after<const N: usize>(name: &str, distance: usize, new: [u8; N]) -> Vec<u8> {
    put(find(&valid(), name) + name.len() + distance, new)
}

/// Where `text` stands in the valid file.
fn place(text: &str) -> usize {
    find(&valid(), text)
}

fn long(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

fn read(bytes: &[u8]) -> Result<Header, FormatError> {
    Header::read(bytes, bytes.len() as u64)
}

/// A damaged file, and a part of the message that it must give.
type Case = (Vec<u8>, &'static str);

/// A count or length that no file has.
const HUGE: [u8; 8] = (1_u64 << 60).to_le_bytes();
const ALL: [u8; 8] = u64::MAX.to_le_bytes();

fn damaged_starts() -> Vec<Case> {
    vec![
        (put(0, *b"GGML"), "begins with \"GGML\""),
        (put(0, *b"PK\x03\x04"), "PyTorch checkpoint"),
        (put(4, [0, 0, 0, 3]), "big-endian"),
        (put(4, [0, 0, 0, 2]), "big-endian"),
        (put(4, [1, 0, 0, 0]), "version 1"),
        (put(4, [4, 0, 0, 0]), "version 4"),
        (put(4, [0, 0, 0, 0]), "version 0"),
        (put(4, [0xff; 4]), "version 4294967295"),
        (put(8, HUGE), "1152921504606846976 tensors"),
        (put(8, ALL), "tensors"),
        (put(8, long(3)), "the name of tensor 2"),
        (put(16, HUGE), "1152921504606846976 metadata entries"),
        (put(16, long(7)), "the name of tensor 0"),
        (Vec::new(), "it is empty"),
        (vec![0; 4096], "zeros"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(),
            "git lfs pull",
        ),
        (b"<!DOCTYPE html><html><head>".to_vec(), "web page"),
        (b"{\"error\": \"Repository not found\"}".to_vec(), "JSON"),
        ([&long(8)[..], b"{\"a\":{}}....."].concat(), "safetensors"),
    ]
}

fn damaged_metadata() -> Vec<Case> {
    let key = "general.alignment";
    vec![
        (put(24, HUGE), "the key of metadata entry 0"),
        (put(24, ALL), "bytes of text"),
        (put(24, long(0)), "has 0 bytes"),
        (put(32, [0xff]), "not UTF-8"),
        (after(key, 0, [13, 0, 0, 0]), "value type 13"),
        (
            after(key, 0, [5, 0, 0, 0]),
            "power of two of type u32, found i32 32",
        ),
        (after(key, 4, [0, 0, 0, 0]), "power of two"),
        (after(key, 4, [24, 0, 0, 0]), "power of two"),
        (after(key, 4, [0, 0, 0, 0x80]), "`first` would be"),
        (after("text", 4, HUGE), "the value of `text`"),
        (after("text", 12, [0xff]), "the value of `text` at byte"),
        (after("texts", 4, [9, 0, 0, 0]), "array of arrays"),
        (after("texts", 4, [99, 0, 0, 0]), "value type 99"),
        (after("texts", 8, HUGE), "the value of `texts`"),
        (after("texts", 16, HUGE), "bytes of text"),
        (after("bool", 4, [2]), "`bool` is a bool of value 2"),
        (after("bools", 16, [1, 9]), "`bools` is a bool of value 9"),
        (after("numbers", 8, HUGE), "items"),
        (put(place("bools"), *b"texts"), "`texts` twice"),
    ]
}

fn damaged_tensors() -> Vec<Case> {
    vec![
        (put(place("other") - 8, long(4)), "dimensions"),
        (
            put(place("other") - 8, long(0)),
            "the name of tensor 1 has 0 bytes",
        ),
        (put(place("other"), [0xff]), "the name of tensor 1 at byte"),
        (put(place("other"), *b"first"), "two tensors `first`"),
        (after("first", 0, [5, 0, 0, 0]), "`first` has 5 dimensions"),
        (after("first", 0, [0xff; 4]), "4294967295 dimensions"),
        (after("first", 4, long(0)), "holds no values"),
        (
            after("first", 12, long(0)),
            "[0, 32], which holds no values",
        ),
        (
            after("first", 4, long(33)),
            "33 values in a row, Q8_0 needs a multiple of 32",
        ),
        (after("first", 12, HUGE), "larger than any file"),
        (after("first", 12, long(1 << 40)), "the file has"),
        (after("first", 20, [4, 0, 0, 0]), "Q4_2"),
        (
            after("first", 20, [43, 0, 0, 0]),
            "tensor type 43, which this version does not know",
        ),
        (after("first", 20, [0xff; 4]), "tensor type 4294967295"),
        (
            after("first", 24, long(16)),
            "no multiple of the alignment 32",
        ),
        (after("other", 16, long(32_000)), "byte 32000 of the data"),
        (
            after("other", 16, long(u64::MAX - 31)),
            "`other` would be 12 bytes",
        ),
    ]
}

#[test]
fn the_valid_file_is_read_and_overlapping_tensors_are_refused() {
    let _alone = alone();
    let header = read(&valid()).unwrap();
    assert_eq!((header.tensors().len(), header.metadata().len()), (2, 6));
    // At the beginning of the other, and in its middle.
    for offset in [0_u64, 32] {
        let overlapping = read(&after("other", 16, offset.to_le_bytes()));
        let text = whole(&overlapping.unwrap_err());
        assert!(text.contains("lies in the bytes of"), "{text}");
    }
    assert_eq!(read(&put(4, [2, 0, 0, 0])).unwrap().version(), 2);
}

#[test]
fn every_damage_is_an_error_that_says_what_is_wrong_and_costs_no_memory() {
    let _alone = alone();
    let cases = [damaged_starts(), damaged_metadata(), damaged_tensors()].concat();
    assert_eq!(cases.len(), 55);
    for (bytes, expected) in cases {
        PEAK.reset_peak_usage();
        let before = PEAK.current_usage();
        let error = read(&bytes).expect_err(expected);
        let used = PEAK.peak_usage().saturating_sub(before);
        assert!(used < ROOM + bytes.len(), "{expected}: {used} bytes");
        let text = whole(&error);
        assert!(text.contains(expected), "expected {expected:?} in {text:?}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let _alone = alone();
    let bytes = valid();
    let data = read(&bytes).unwrap().data_start() as usize;
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        // The zeros behind the last tensor may be missing.
        if length >= data + 96 + 12 {
            assert!(read(cut).is_ok());
            continue;
        }
        PEAK.reset_peak_usage();
        let before = PEAK.current_usage();
        let error = read(cut).expect_err("a cut file");
        let used = PEAK.peak_usage().saturating_sub(before);
        assert!(used < ROOM + bytes.len(), "{length}: {used} bytes");
        let text = whole(&error);
        let interrupted = ["interrupted", "at most", "begins with"];
        assert!(
            interrupted.iter().any(|part| text.contains(part)),
            "{length}: {text}"
        );
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let _alone = alone();
    let bytes = valid();
    for length in 4..bytes.len().min(300) {
        let outcome = Header::read(&bytes[..length], bytes.len() as u64);
        assert!(
            outcome.is_ok() || matches!(outcome, Err(FormatError::Read(_))),
            "{length}"
        );
    }
}

#[test]
fn what_a_reader_does_not_have_costs_nothing() {
    let _alone = alone();
    // The length of a text and of two arrays, in a file that says that it is as large.
    let most = long(1 << 27);
    for (bytes, part) in [
        (after("text", 4, most), "a text"),
        (after("texts", 8, most), "texts"),
        (after("numbers", 8, most), "numbers"),
    ] {
        PEAK.reset_peak_usage();
        let before = PEAK.current_usage();
        Header::read(&bytes[..], u64::MAX >> 1).expect_err(part);
        let used = PEAK.peak_usage().saturating_sub(before);
        assert!(used < (1 << 20) + bytes.len(), "{part}: {used} bytes");
    }
}

#[test]
fn errors_name_the_file_and_what_is_no_file_is_told() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let open = |path: &Path| whole(&GgufFile::open(path).unwrap_err());
    let text = open(&path);
    assert!(
        text.contains("cannot open") && text.contains("model.gguf"),
        "{text}"
    );
    assert!(open(folder.path()).contains("it is a folder, not a file"));
    fs::write(&path, b"<html>").unwrap();
    let text = open(&path);
    assert!(
        text.contains("model.gguf: it is not a GGUF file: it is a web page"),
        "{text}"
    );
}

#[test]
fn a_file_that_became_shorter_or_was_replaced_is_noticed_or_still_read() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, valid()).unwrap();
    let file = GgufFile::open(&path).unwrap();
    fs::rename(&path, folder.path().join("old.gguf")).unwrap();
    fs::write(&path, b"another").unwrap();
    assert_eq!(file.values("other").unwrap(), [1.0; 3]);
    let header = file.header().data_start();
    let old = fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join("old.gguf"))
        .unwrap();
    old.set_len(header).unwrap();
    let error = file.read("other").unwrap_err();
    assert!(matches!(error, GgufError::File(_)), "{error}");
    assert!(whole(&error).contains("shorter"), "{}", whole(&error));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_in_a_valid_file_are_read_or_refused(changes in prop::collection::vec((0_usize..600, any::<u8>()), 1..8)) {
        let _alone = alone();
        let mut bytes = valid();
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        if let Ok(header) = read(&bytes) {
            prop_assert!(header.tensors().all(|info| info.bytes() <= bytes.len() as u64));
        }
    }
}
