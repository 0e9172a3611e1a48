//! Reading the header from its beginning to its end, never more than the file has.

use std::io::{self, BufReader, Read};

use peft_format::file::input::{GGUF_VALUE_LIMIT, Limit};

use crate::{FormatError, Part, Strings};

/// Items of an array for which room is made before they are read.
const AHEAD: usize = 1 << 16;

/// A limit, and what it comes to for what is counted.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    limit: &'static Limit,
    most: u64,
}

impl Bound {
    /// Reads the limit, which takes the environment.
    pub(super) fn of(limit: &'static Limit) -> Self {
        Self {
            limit,
            most: limit.get(),
        }
    }
}

/// A reader that knows its place and the size of the file.
pub(super) struct Cursor<R> {
    reader: BufReader<R>,
    at: u64,
    size: u64,
    /// Bytes of a text or an array.
    value: Bound,
}

impl<R: Read> Cursor<R> {
    pub(super) fn new(reader: R, size: u64) -> Self {
        Self {
            reader: BufReader::new(reader),
            at: 0,
            size,
            value: Bound::of(&GGUF_VALUE_LIMIT),
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
        bound: Bound,
        what: &'static str,
        part: &Part,
    ) -> Result<u64, FormatError> {
        let at = self.at;
        let found = self.u64(part)?;
        let room = self.left() / each;
        let most = bound.most.min(room);
        if found <= most {
            return Ok(found);
        }
        Err(FormatError::TooMany {
            part: part.clone(),
            at,
            what,
            found,
            most,
            bound: (found <= room).then_some(bound.limit),
        })
    }

    /// The length of an array whose items take so many bytes each at least.
    pub(super) fn array_count(&mut self, each: u64, part: &Part) -> Result<usize, FormatError> {
        let bound = Bound {
            most: self.value.most / each,
            ..self.value
        };
        let count = self.count(each, bound, "items", part)?;
        usize::try_from(count).map_err(|_| FormatError::TooMany {
            part: part.clone(),
            at: self.at,
            what: "items",
            found: count,
            most: usize::MAX as u64,
            bound: None,
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
        let length = self.count(1, self.value, "bytes of text", part)?;
        let at = self.at;
        bytes.clear();
        // As far as there are bytes: the size may be one that a sparse file has, or a reader does not.
        let read = self.reader.by_ref().take(length).read_to_end(bytes);
        let read = read.map_err(FormatError::Read)? as u64;
        self.at += read;
        if read < length {
            return Err(FormatError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(at)
    }

    /// An array of texts.
    pub(super) fn texts(&mut self, part: &Part) -> Result<Strings, FormatError> {
        let count = self.array_count(8, part)?;
        let mut texts = Strings::default();
        texts.reserve(count.min(AHEAD));
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
        let mut numbers = Vec::with_capacity(count.min(AHEAD));
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
