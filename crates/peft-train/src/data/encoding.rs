//! From the bytes of a data file to its text: UTF-8, UTF-16 by its mark, and every encoding that is named.

use std::path::Path;
use std::str::FromStr;

use encoding_rs::{DecoderResult, Encoding as Table, UTF_8};
use serde::{Deserialize, Serialize};

use super::table_error::TableError;
use crate::TrainError;

/// What a byte that is no UTF-8 leaves to do.
const OTHER: &str = "where the file is in another encoding, name it: --encoding windows-1252 (Western European, Latin-1), gbk, shift_jis, ...";
/// What NUL bytes mostly mean.
const WIDE: &str = "of UTF-16 without its mark give --encoding utf-16le (or utf-16be); anything else is no text file";

/// An encoding by the name that the web has for it (`utf-8`, `utf-16le`, `windows-1252`, `gbk`, ...).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Encoding(&'static Table);

impl FromStr for Encoding {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let lower = text.trim().to_ascii_lowercase();
        // Names of Python that the web's list lacks.
        let label = match lower.as_str() {
            "latin-1" | "latin_1" => "latin1",
            "utf-8-sig" | "utf_8" => "utf-8",
            "mac-roman" | "mac_roman" => "macintosh",
            other => other,
        };
        let found = Table::for_label(label.as_bytes());
        found.map(Self).ok_or_else(|| TrainError::Option {
            option: "encoding",
            expected: "the name of an encoding: utf-8, utf-16le, utf-16be, windows-1252 (also latin-1), gbk, shift_jis, ...".into(),
            found: text.into(),
        })
    }
}

impl TryFrom<String> for Encoding {
    type Error = TrainError;

    fn try_from(text: String) -> Result<Self, TrainError> {
        text.parse()
    }
}

impl From<Encoding> for String {
    fn from(encoding: Encoding) -> Self {
        encoding.name()
    }
}

impl Encoding {
    /// Its name, in small letters.
    pub fn name(self) -> String {
        self.0.name().to_ascii_lowercase()
    }
}

/// The text of a file without its mark, and the encoding when it is not UTF-8. A mark says more than `named`, UTF-8 is what else is
/// expected.
pub(super) fn decode(
    path: &Path,
    bytes: Vec<u8>,
    named: Option<Encoding>,
) -> Result<(String, Option<Encoding>), TableError> {
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        let found = "the mark of UTF-32".to_owned();
        return Err(not_text(path, (1, 0), found, "convert the file to UTF-8"));
    }
    let (table, mark) = match Table::for_bom(&bytes) {
        Some((table, mark)) => (table, mark),
        None => (named.map_or(UTF_8, |named| named.0), 0),
    };
    let text = if table == UTF_8 {
        utf8(path, bytes, mark)?
    } else {
        other(path, &bytes[mark..], mark, table)?
    };
    if let Some(at) = text.bytes().position(|byte| byte == 0) {
        let place = (line_of(&text.as_bytes()[..at]), at + mark);
        return Err(not_text(path, place, "a NUL byte".into(), WIDE));
    }
    Ok((text, (table != UTF_8).then_some(Encoding(table))))
}

fn utf8(path: &Path, bytes: Vec<u8>, mark: usize) -> Result<String, TableError> {
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            text.drain(..mark);
            Ok(text)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            if let Some(nul) = bytes[..at].iter().position(|&byte| byte == 0) {
                let place = (line_of(&bytes[..nul]), nul);
                return Err(not_text(path, place, "a NUL byte".into(), WIDE));
            }
            let found = format!("the byte 0x{:02x}", bytes[at]);
            Err(not_text(path, (line_of(&bytes[..at]), at), found, OTHER))
        }
    }
}

fn other(
    path: &Path,
    bytes: &[u8],
    mark: usize,
    table: &'static Table,
) -> Result<String, TableError> {
    let mut decoder = table.new_decoder_without_bom_handling();
    let mut text = String::new();
    let needed = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
    text.reserve(needed.unwrap_or(bytes.len()));
    let (result, read) = decoder.decode_to_string_without_replacement(bytes, &mut text, true);
    match result {
        DecoderResult::InputEmpty => {
            text.shrink_to_fit();
            Ok(text)
        }
        DecoderResult::OutputFull => Err(not_text(
            path,
            (1, mark),
            "more text than memory holds".into(),
            "split the file",
        )),
        DecoderResult::Malformed(bad, after) => {
            let at = read.saturating_sub(usize::from(bad) + usize::from(after));
            let found = format!(
                "a byte sequence that is none of {}, at 0x{:02x}",
                table.name(),
                bytes.get(at).copied().unwrap_or_default()
            );
            let place = (line_of(text.as_bytes()), at + mark);
            Err(not_text(path, place, found, OTHER))
        }
    }
}

fn not_text(
    path: &Path,
    (line, byte): (u64, usize),
    found: String,
    help: &'static str,
) -> TableError {
    TableError::NotText {
        path: path.to_path_buf(),
        line,
        byte,
        found,
        help,
    }
}

/// The line, counted from 1, that begins or goes on after these bytes.
fn line_of(before: &[u8]) -> u64 {
    before.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1
}
