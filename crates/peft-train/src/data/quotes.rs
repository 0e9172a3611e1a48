//! What double quotes in a table mean: whether they enclose cells, decided by the whole file.

use std::ops::Range;

/// How the quotes of a file fit the rules of RFC 4180.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    /// Whether a quoted cell could not be written without quotes: it holds a separator, a line end or a doubled quote.
    needed: bool,
    /// Whether some column is quoted in every row.
    whole_column: bool,
    /// Whether every row has as many cells as the first.
    even: bool,
    /// The first cell that breaks the rules.
    pub(super) broken: Option<Broken>,
}

/// A cell that begins with a quote and does not end at the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// From the line on which it begins to that of its next quote, or to the end of the file.
    pub(super) lines: Range<u64>,
    /// Whether there is a next quote.
    pub(super) closed: bool,
}

impl Quotes {
    /// Whether the quotes enclose cells. Texts may begin and end with a quote of their own; that alone is no evidence.
    pub(super) fn enclose_cells(&self) -> bool {
        self.broken.is_none() && self.even && (self.needed || self.whole_column)
    }

    /// Reads a whole file.
    pub(super) fn of(text: &str, separator: char) -> Self {
        let mut scan = Scan {
            text: text.as_bytes(),
            separator: separator as u8,
            at: 0,
            line: 1,
            needed: false,
        };
        let (mut even, mut broken) = (true, None);
        // Which cells of the first row, and of all rows after it, are quoted.
        let (mut width, mut always): (usize, Option<Vec<bool>>) = (0, None);
        while scan.at < scan.text.len() {
            match scan.row() {
                Ok(row) if row == [false] => {}
                Ok(row) => match &mut always {
                    None if width == 0 => width = row.len(),
                    None => {
                        even &= row.len() == width;
                        always = Some(row);
                    }
                    Some(always) => {
                        even &= row.len() == width;
                        always
                            .iter_mut()
                            .zip(&row)
                            .for_each(|(all, one)| *all &= *one);
                    }
                },
                Err(cell) => {
                    broken = Some(cell);
                    break;
                }
            }
        }
        Self {
            needed: scan.needed,
            whole_column: always.is_some_and(|always| always.contains(&true)),
            even,
            broken,
        }
    }
}

/// A position in the file.
struct Scan<'a> {
    text: &'a [u8],
    separator: u8,
    at: usize,
    line: u64,
    needed: bool,
}

impl Scan<'_> {
    /// Whether each cell of the next row is quoted, or the cell that breaks the rules.
    fn row(&mut self) -> Result<Vec<bool>, Broken> {
        let mut cells = Vec::new();
        loop {
            let quoted = self.text.get(self.at) == Some(&b'"');
            if quoted {
                self.quoted()?;
            } else {
                self.plain();
            }
            cells.push(quoted);
            match self.text.get(self.at) {
                Some(byte) if *byte == self.separator => self.at += 1,
                Some(b'\r') if self.text.get(self.at + 1) == Some(&b'\n') => {
                    self.at += 2;
                    self.line += 1;
                    return Ok(cells);
                }
                Some(_) => {
                    self.at += 1;
                    self.line += 1;
                    return Ok(cells);
                }
                None => return Ok(cells),
            }
        }
    }

    fn plain(&mut self) {
        let ends = |byte: &u8| *byte == self.separator || *byte == b'\n';
        let rest = &self.text[self.at..];
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        let carriage = end > 0 && rest.get(end) == Some(&b'\n') && rest[end - 1] == b'\r';
        self.at += end - usize::from(carriage);
    }

    fn quoted(&mut self) -> Result<(), Broken> {
        let start = self.line;
        let broken = |line, closed| Broken {
            lines: start..line,
            closed,
        };
        self.at += 1;
        loop {
            match (self.text.get(self.at), self.text.get(self.at + 1)) {
                (Some(b'"'), Some(b'"')) => {
                    self.needed = true;
                    self.at += 2;
                }
                (Some(b'"'), next) => {
                    self.at += 1;
                    let ends = next.is_none_or(|byte| {
                        *byte == self.separator || *byte == b'\n' || *byte == b'\r'
                    });
                    return if ends {
                        Ok(())
                    } else {
                        Err(broken(self.line, true))
                    };
                }
                (Some(byte), _) => {
                    self.needed |= *byte == self.separator || *byte == b'\n';
                    self.line += u64::from(*byte == b'\n');
                    self.at += 1;
                }
                (None, _) => return Err(broken(self.line, false)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enclose(text: &str) -> bool {
        Quotes::of(text, '\t').enclose_cells()
    }

    #[test]
    fn quotes_that_are_needed_or_stand_in_every_row_enclose_cells() {
        assert!(enclose("text\tlabel\n\"a\tb\"\t1\nc\t0\n"));
        assert!(enclose("text\tlabel\r\n\"two\r\nlines\"\t1\r\nc\t0\r\n"));
        assert!(enclose("text\tlabel\n\"he said \"\"no\"\"\"\t1\n"));
        assert!(enclose("\"text\"\t\"label\"\n\"a\"\t\"1\"\n\"b\"\t\"0\"\n"));
        assert!(enclose("text\tlabel\n\"a\"\t1\n\n\"b\"\t0\n"));
    }

    #[test]
    fn quotes_of_the_texts_themselves_do_not() {
        for text in [
            "text\tlabel\n\"fine\"\t1\nc\t0\n",
            "text\tlabel\n\"open\t1\nc\t0\n",
            "text\tlabel\n\"fine\" , she said\t1\n\"a\"\t0\n",
            "text\tlabel\nno quotes\t1\n",
            "",
        ] {
            assert!(!enclose(text), "{text:?}");
        }
    }

    #[test]
    fn a_cell_that_goes_on_after_its_quote_is_found_with_its_lines() {
        let broken = |text: &str| {
            let broken = Quotes::of(text, ',').broken;
            broken.map(|cell| (cell.lines, cell.closed))
        };
        assert_eq!(
            broken("text,label\n\"lone,1\nb,0\n\"World,0\n"),
            Some((2..4, true))
        );
        assert_eq!(broken("a,b\n\"x\"y,1\n"), Some((2..2, true)));
        assert_eq!(broken("a,b\n\"x,1\n"), Some((2..3, false)));
        assert_eq!(broken("a,\"b\"\r\n"), None);
    }
}
