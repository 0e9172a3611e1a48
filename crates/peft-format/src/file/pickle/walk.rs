//! What a pickle would cost to interpret, found by stepping over its opcodes without interpreting any.
//!
//! An interpreter spends about a hundred bytes per opcode, and copies what is fetched from the memo. A few megabytes
//! of opcodes, or one long text that is fetched a million times, would fill any memory. The limits here are far
//! above what a state dict of any adapter needs and keep the interpreter below half a gigabyte.

use std::io::{self, BufRead, Read};

/// Most opcodes of a file's pickles. A state dict has about 40 per tensor.
const MAX_OPS: u64 = 1_000_000;

/// Most bytes of text in a file's pickles.
const MAX_TEXT: u64 = 32 << 20;

/// Most bytes that copies may add up to, if each copied the longest text and the longest list.
const MAX_COPIED: u64 = 256 << 20;

/// Longest line of the text opcodes.
const MAX_LINE: u64 = 1 << 16;

/// Memory per element of a list of sizes.
const ELEMENT: u64 = 8;

/// What the pickles of a file have used of the limits so far.
#[derive(Debug, Default)]
pub(super) struct Cost {
    ops: u64,
    text: u64,
    copies: u64,
    longest_text: u64,
    list_items: u64,
    longest_tuple: u64,
}

/// What follows an opcode in the file.
enum Operand {
    Bytes(u64),
    Lines(u8),
    /// Text after its length in so many bytes.
    Text(usize),
}

impl Cost {
    /// Steps over one pickle and leaves `reader` after it.
    ///
    /// # Errors
    /// What is wrong with the pickle, or which limit it exceeds.
    pub(super) fn add_pickle(&mut self, reader: &mut impl BufRead) -> Result<(), String> {
        let mut marks: Vec<u64> = Vec::new();
        loop {
            let op = byte(reader)?;
            self.ops += 1;
            self.skip_operand(op, reader)?;
            match op {
                b'.' => return self.check(),
                b'(' => marks.push(self.ops),
                b'h' | b'j' | b'g' | b'q' | b'r' | b'p' | b'2' | 0x94 => self.copies += 1,
                b'a' => self.list_items += 1,
                b't' => {
                    let items = self.since(marks.pop());
                    self.longest_tuple = self.longest_tuple.max(items);
                }
                b'e' | b'l' | 0x90 | 0x91 => self.list_items += self.since(marks.pop()),
                b'u' | b'd' | b'1' => drop(marks.pop()),
                _ => {}
            }
            self.check()?;
        }
    }

    fn since(&self, mark: Option<u64>) -> u64 {
        mark.map_or(0, |mark| self.ops - mark)
    }

    fn skip_operand(&mut self, op: u8, reader: &mut impl BufRead) -> Result<(), String> {
        let operand = operand(op).ok_or_else(|| format!("0x{op:02x} is no opcode of a pickle"))?;
        match operand {
            Operand::Bytes(count) => skip(reader, count),
            Operand::Lines(count) => {
                for _ in 0..count {
                    let length = line(reader)?;
                    self.add_text(length)?;
                }
                Ok(())
            }
            Operand::Text(width) => {
                let mut length = [0; 8];
                reader
                    .read_exact(&mut length[..width])
                    .map_err(|_error| truncated())?;
                let length = u64::from_le_bytes(length);
                self.add_text(length)?;
                skip(reader, length)
            }
        }
    }

    fn add_text(&mut self, length: u64) -> Result<(), String> {
        self.text = self.text.saturating_add(length);
        self.longest_text = self.longest_text.max(length);
        self.check()
    }

    fn check(&self) -> Result<(), String> {
        // A class has two texts.
        let items = self.longest_tuple.saturating_add(self.list_items);
        let copy = self
            .longest_text
            .saturating_mul(2)
            .saturating_add(items * ELEMENT);
        let claims = [
            ("operations", self.ops, MAX_OPS),
            ("bytes of text", self.text, MAX_TEXT),
            (
                "bytes of copies",
                self.copies.saturating_mul(copy),
                MAX_COPIED,
            ),
        ];
        claims
            .into_iter()
            .find(|(_, found, limit)| found > limit)
            .map_or(Ok(()), |(what, found, limit)| {
                Err(format!(
                    "its pickle has {found} {what}, more than the {limit} that tensors need"
                ))
            })
    }
}

/// The opcodes that the reader knows, by what follows them.
fn operand(op: u8) -> Option<Operand> {
    Some(match op {
        b'('
        | b'.'
        | b'0'
        | b'1'
        | b'2'
        | b'N'
        | b'R'
        | b'b'
        | b'd'
        | b'l'
        | b't'
        | b's'
        | b'a'
        | b')'
        | b']'
        | b'}'
        | b'e'
        | b'u'
        | b'Q'
        | 0x81
        | 0x85..=0x89
        | 0x8f..=0x94 => Operand::Bytes(0),
        b'K' | b'h' | b'q' | 0x80 => Operand::Bytes(1),
        b'M' => Operand::Bytes(2),
        b'J' | b'j' | b'r' => Operand::Bytes(4),
        b'G' | 0x95 => Operand::Bytes(8),
        b'I' | b'L' | b'F' | b'V' | b'g' | b'p' | b'P' => Operand::Lines(1),
        b'c' => Operand::Lines(2),
        b'U' | b'C' | 0x8a | 0x8c => Operand::Text(1),
        b'T' | b'X' | b'B' | 0x8b => Operand::Text(4),
        0x8d | 0x8e | 0x96 => Operand::Text(8),
        _ => return None,
    })
}

fn byte(reader: &mut impl BufRead) -> Result<u8, String> {
    let mut byte = [0];
    reader.read_exact(&mut byte).map_err(|_error| truncated())?;
    Ok(byte[0])
}

fn line(reader: &mut impl BufRead) -> Result<u64, String> {
    let mut text = Vec::new();
    reader
        .by_ref()
        .take(MAX_LINE)
        .read_until(b'\n', &mut text)
        .map_err(|_error| truncated())?;
    if text.last() == Some(&b'\n') {
        Ok(text.len() as u64)
    } else {
        Err("a line of its pickle does not end".to_owned())
    }
}

/// Steps over `count` bytes.
pub(super) fn skip(reader: &mut impl BufRead, count: u64) -> Result<(), String> {
    let skipped = io::copy(&mut reader.by_ref().take(count), &mut io::sink());
    match skipped {
        Ok(skipped) if skipped == count => Ok(()),
        _ => Err(truncated()),
    }
}

pub(super) fn truncated() -> String {
    "it ends in the middle: the download or the writer was interrupted".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(pickle: &[u8]) -> Result<Cost, String> {
        let mut cost = Cost::default();
        let mut reader = pickle;
        cost.add_pickle(&mut reader)?;
        assert!(reader.is_empty(), "{} bytes are left", reader.len());
        Ok(cost)
    }

    #[test]
    fn every_form_of_operand_is_stepped_over() {
        let mut pickle =
            b"\x80\x02K\x01M\x01\x02J\x01\x02\x03\x04G12345678I12\nctorch\nFloatStorage\n".to_vec();
        pickle.extend(b"U\x02..X\x03\0\0\0...\x8d\x01\0\0\0\0\0\0\0.h\x07j\x01\0\0\0(NNt.");
        let cost = cost(&pickle).unwrap();
        assert_eq!((cost.ops, cost.copies, cost.longest_tuple), (17, 2, 3));
        assert_eq!(cost.longest_text, "FloatStorage\n".len() as u64);
    }

    #[test]
    fn too_many_operations_are_refused() {
        let problem = cost(&vec![b'N'; 2_000_000]).unwrap_err();
        assert!(problem.contains("1000001 operations"), "{problem}");
    }

    #[test]
    fn a_long_text_that_is_fetched_often_is_refused() {
        let mut pickle = b"B\0\0\x10\0".to_vec();
        pickle.resize(pickle.len() + (1 << 20), b'x');
        pickle.extend([b'h', 0].repeat(200));
        pickle.push(b'.');
        assert!(cost(&pickle).unwrap_err().contains("bytes of copies"));
    }

    #[test]
    fn a_long_list_of_sizes_that_is_fetched_often_is_refused() {
        let mut pickle = b"](".to_vec();
        pickle.extend(vec![b'N'; 100_000]);
        pickle.push(b'e');
        pickle.extend([b'h', 0].repeat(1000));
        pickle.push(b'.');
        assert!(cost(&pickle).unwrap_err().contains("bytes of copies"));
    }

    #[test]
    fn a_text_that_claims_every_byte_there_is_does_not_overflow() {
        let problem = cost(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.").unwrap_err();
        assert!(problem.contains("bytes of text"), "{problem}");
    }

    #[test]
    fn truncation_unknown_opcodes_and_endless_lines_are_told_apart() {
        for end in [&b""[..], b"X\xff\0\0\0abc", b"J\0", b"\x8d\0"] {
            assert!(cost(end).unwrap_err().contains("interrupted"), "{end:?}");
        }
        assert!(cost(b"o.").unwrap_err().contains("0x6f"));
        let mut endless = vec![b'I'];
        endless.resize(1 << 17, b'1');
        assert!(cost(&endless).unwrap_err().contains("does not end"));
    }
}
