//! Reading the header from its beginning to its end, never more than the file has.

use std::io::{BufReader, Read};

use crate::{FormatError, Part, Strings};

/// The longest text and the longest array, those of llama.cpp.
const LONGEST: u64 = 1 << 30;

/// A reader that knows its place and the size of the file.
pub(super) struct Cursor<R> {
    reader: BufReader<R>,
    at: u64,
    size: u64,
}

impl<R: Read> Cursor<R> {
    pub(super) fn new(reader: R, size: u64) -> Self {
        Self {
            reader: BufReader::new(reader),
            at: 0,
            size,
        }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn left(&self) -> u64 {
        self.size.saturating_sub(self.at)
    }

    /// Fails where the file has fewer bytes than are needed.
    pub(super) fn require(&self, needed: u64, part: &Part) -> Result<(), FormatError> {
        if needed <= self.left() {
            return Ok(());
        }
        Err(FormatError::Truncated {
            part: part.clone(),
            at: self.at,
            needed,
            left: self.left(),
        })
    }

    fn fill(&mut self, bytes: &mut [u8], part: &Part) -> Result<(), FormatError> {
        self.require(bytes.len() as u64, part)?;
        self.reader.read_exact(bytes).map_err(FormatError::Read)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// The next bytes.
    pub(super) fn bytes<const N: usize>(&mut self, part: &Part) -> Result<[u8; N], FormatError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, part)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, part: &Part) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.bytes(part)?))
    }

    pub(super) fn u64(&mut self, part: &Part) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.bytes(part)?))
    }

    /// A number of things that take so many bytes each at least.
    pub(super) fn count(
        &mut self,
        each: u64,
        most: u64,
        what: &'static str,
        part: &Part,
    ) -> Result<u64, FormatError> {
        let at = self.at;
        let found = self.u64(part)?;
        let limit = most.min(self.left() / each);
        if found <= limit {
            return Ok(found);
        }
        Err(FormatError::TooMany {
            part: part.clone(),
            at,
            what,
            found,
            limit,
        })
    }

    /// The length of an array whose items take so many bytes each at least.
    pub(super) fn array_count(&mut self, each: u64, part: &Part) -> Result<usize, FormatError> {
        let count = self.count(each, LONGEST, "items", part)?;
        usize::try_from(count).map_err(|_| FormatError::TooMany {
            part: part.clone(),
            at: self.at,
            what: "items",
            found: count,
            limit: usize::MAX as u64,
        })
    }

    /// A text with its length before it.
    pub(super) fn text(&mut self, part: &Part) -> Result<String, FormatError> {
        let mut bytes = Vec::new();
        let at = self.text_bytes(&mut bytes, part)?;
        String::from_utf8(bytes).map_err(|_| FormatError::NotUtf8 {
            part: part.clone(),
            at,
        })
    }

    /// Puts the bytes of a text in place of what `bytes` held; the place in the file at which they begin.
    fn text_bytes(&mut self, bytes: &mut Vec<u8>, part: &Part) -> Result<u64, FormatError> {
        let length = self.count(1, LONGEST, "bytes of text", part)?;
        let at = self.at;
        bytes.clear();
        bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        self.fill(bytes, part)?;
        Ok(at)
    }

    /// An array of texts.
    pub(super) fn texts(&mut self, part: &Part) -> Result<Strings, FormatError> {
        let count = self.array_count(8, part)?;
        let mut texts = Strings::default();
        texts.reserve(count);
        let mut bytes = Vec::new();
        for _ in 0..count {
            let at = self.text_bytes(&mut bytes, part)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| FormatError::NotUtf8 {
                part: part.clone(),
                at,
            })?;
            texts.push(text);
        }
        Ok(texts)
    }

    /// An array of numbers.
    pub(super) fn numbers<const N: usize, T>(
        &mut self,
        number: impl Fn([u8; N]) -> T,
        part: &Part,
    ) -> Result<Vec<T>, FormatError> {
        const PIECE: usize = 1 << 13;
        let count = self.array_count(N as u64, part)?;
        let mut numbers = Vec::with_capacity(count);
        let mut piece = [0; PIECE];
        while numbers.len() < count {
            let take = (count - numbers.len()).min(PIECE / N);
            let bytes = &mut piece[..take * N];
            self.fill(bytes, part)?;
            numbers.extend(bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)));
        }
        Ok(numbers)
    }
}
