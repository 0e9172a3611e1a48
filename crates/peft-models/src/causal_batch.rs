//! What a decoder reads: token ids, their positions, and who may see whom.

use std::ops::Range;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use peft_kernels::KeyRanges;

use crate::error::ModelError;

#[cfg(test)]
mod tests;

/// A text of a batch: its token ids, and the segment of each.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// As many; see [`CausalBatch`].
    pub segments: &'a [u32],
}

/// Rows of tokens on a device. Every token belongs to a segment, a number above 0, and sees the tokens of its own segment up to
/// itself; segment 0 is padding, which no token of another segment sees. Positions count from 0 in each segment.
///
/// A row of one text has one segment; a packed row has one per text, so that texts in one row do not see each other.
#[derive(Debug, Clone)]
pub struct CausalBatch {
    /// Token ids, shape `[batch, seq]`.
    pub ids: Tensor<2, Int>,
    /// Segment of every token, row by row.
    pub(crate) segments: Vec<Vec<u32>>,
    /// Position of every token in its segment, row by row.
    pub(crate) positions: Vec<Vec<usize>>,
    /// Where each text is among the tokens of all rows.
    texts: Vec<Range<usize>>,
    pub(crate) largest_id: usize,
}

impl CausalBatch {
    /// One text per row, padded on the left to the longest, as generation needs it.
    ///
    /// # Errors
    /// [`ModelError::Batch`] when there is no row or a row is empty.
    pub fn left_padded(rows: &[Vec<u32>], device: &Device) -> Result<Self, ModelError> {
        let seq = rows.iter().map(Vec::len).max().unwrap_or(0);
        let pad = |row: &Vec<u32>| {
            let missing = seq - row.len();
            let mut ids = vec![0; missing];
            ids.extend(row);
            let mut segments = vec![0; missing];
            segments.resize(seq, 1);
            (ids, segments)
        };
        if let Some(row) = rows.iter().position(Vec::is_empty) {
            return problem(row, NO_TOKENS);
        }
        let (ids, segments): (Vec<_>, Vec<_>) = rows.iter().map(pad).unzip();
        let texts = rows.iter().enumerate();
        let texts = texts.map(|(at, row)| (at + 1) * seq - row.len()..(at + 1) * seq);
        Ok(Self {
            texts: texts.collect(),
            ..Self::packed(&ids, segments, device)?
        })
    }

    /// One text per row, padded at the end to the longest.
    ///
    /// # Errors
    /// [`ModelError::Batch`] when there is no text, or one is empty, or has not as many segments as tokens.
    pub fn right_padded(texts: &[Text<'_>], device: &Device) -> Result<Self, ModelError> {
        check(texts)?;
        let seq = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0);
        let padded = |values: &[u32]| {
            let mut values = values.to_vec();
            values.resize(seq, 0);
            values
        };
        let ids: Vec<Vec<u32>> = texts.iter().map(|text| padded(text.ids)).collect();
        let segments = texts.iter().map(|text| padded(text.segments)).collect();
        let places = texts.iter().enumerate();
        let places = places.map(|(at, text)| at * seq..at * seq + text.ids.len());
        Ok(Self {
            texts: places.collect(),
            ..Self::packed(&ids, segments, device)?
        })
    }

    /// All texts one behind the other in one row, which needs no padding.
    ///
    /// # Errors
    /// As [`CausalBatch::right_padded`].
    pub fn in_one_row(texts: &[Text<'_>], device: &Device) -> Result<Self, ModelError> {
        check(texts)?;
        let (mut ids, mut segments, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut earlier = 0;
        for text in texts {
            places.push(ids.len()..ids.len() + text.ids.len());
            ids.extend_from_slice(text.ids);
            let own = text.segments.iter();
            segments.extend(own.map(|segment| match segment {
                0 => 0,
                segment => earlier + segment,
            }));
            earlier += text.segments.iter().max().copied().unwrap_or(0);
        }
        Ok(Self {
            texts: places,
            ..Self::packed(&[ids], vec![segments], device)?
        })
    }

    /// Rows of one length, with the segment of every token; a row counts as a text.
    ///
    /// # Errors
    /// [`ModelError::Batch`] when there is no row, rows differ in length, or segments and ids do.
    pub fn packed(
        rows: &[Vec<u32>],
        segments: Vec<Vec<u32>>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let seq = rows.first().map_or(0, Vec::len);
        if seq == 0 {
            return problem(0, "the batch has no tokens");
        }
        if let Some(row) = rows.iter().position(|row| row.len() != seq) {
            return problem(row, "the row is longer or shorter than the first");
        }
        if segments.len() != rows.len() {
            return problem(segments.len().min(rows.len()), "segments and rows differ");
        }
        if let Some(row) = segments.iter().position(|row| row.len() != seq) {
            return problem(row, UNLIKE);
        }
        let ids: Vec<i64> = rows.iter().flatten().map(|id| i64::from(*id)).collect();
        Ok(Self {
            ids: Tensor::from_data(TensorData::new(ids, [rows.len(), seq]), device),
            positions: segments.iter().map(|row| positions(row)).collect(),
            texts: whole_rows(rows.len(), seq),
            segments,
            largest_id: rows.iter().flatten().copied().max().unwrap_or(0) as usize,
        })
    }

    /// Where each text is among the tokens of all rows, in the order in which the texts were given: of hidden states `[batch * seq, d]`
    /// the rows that are its own.
    #[must_use]
    pub fn texts(&self) -> &[Range<usize>] {
        &self.texts
    }

    /// The same batch with positions that go on where the last segment of each row of `seen` ended.
    pub(crate) fn after(mut self, seen: &[Vec<u32>]) -> Self {
        for (row, seen) in self.positions.iter_mut().zip(seen) {
            let last = seen.last();
            let before = seen
                .iter()
                .rev()
                .take_while(|segment| Some(*segment) == last);
            let before = before.count();
            row.iter_mut().for_each(|at| *at += before);
        }
        self
    }

    /// What a cache has seen, which these are the segments of, and the batch: `ids` are those of all.
    pub(crate) fn preceded_by(&self, ids: Tensor<2, Int>, seen: &[Vec<u32>]) -> Self {
        let rows = seen.iter().zip(&self.segments);
        let segments: Vec<Vec<u32>> = rows
            .map(|(seen, new)| [seen.as_slice(), new].concat())
            .collect();
        Self {
            ids,
            positions: segments.iter().map(|row| positions(row)).collect(),
            texts: whole_rows(segments.len(), segments.first().map_or(0, Vec::len)),
            segments,
            largest_id: self.largest_id,
        }
    }

    /// Tokens of the longest text up to the last of the batch, those of a cache included.
    pub(crate) fn longest(&self) -> usize {
        let last = self.positions.iter().flatten().max();
        last.map_or(0, |at| at + 1)
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.segments.len()
    }

    /// Tokens per row, padding included.
    #[must_use]
    pub fn seq(&self) -> usize {
        self.segments.first().map_or(0, Vec::len)
    }

    /// Which tokens are padding (`true`), shape `[batch, seq]`; `None` where none is.
    pub(crate) fn padding(&self, device: &Device) -> Option<Tensor<2, Bool>> {
        let mask: Vec<bool> = self
            .segments
            .iter()
            .flatten()
            .map(|segment| *segment == 0)
            .collect();
        let any = mask.iter().any(|padding| *padding);
        any.then(|| Tensor::from_data(TensorData::new(mask, [self.rows(), self.seq()]), device))
    }

    /// Positions row by row; one row where all are alike.
    pub(crate) fn distinct_positions(&self) -> &[Vec<usize>] {
        let first = &self.positions[0];
        if self.positions.iter().all(|row| row == first) {
            &self.positions[..1]
        } else {
            &self.positions
        }
    }

    /// The keys that each token sees; `earlier` are the segments of keys before this batch, and with a `window` a token sees that many
    /// tokens at most, itself included. `None` where every token sees everything.
    pub(crate) fn seen(
        &self,
        earlier: &[Vec<u32>],
        window: Option<usize>,
        device: &Device,
    ) -> Option<KeyRanges> {
        let before = earlier.first().map_or(0, Vec::len);
        let keys = before + self.seq();
        let ranges = self.segments.iter().enumerate().map(|(row, own)| {
            let past = earlier.get(row).map_or(&[][..], Vec::as_slice);
            let mut start = 0;
            let mut previous = None;
            let all = past.iter().chain(own).enumerate().map(|(at, segment)| {
                if previous.is_some_and(|previous| previous != segment) {
                    start = at;
                }
                previous = Some(segment);
                let first = window.map_or(0, |window| (at + 1).saturating_sub(window));
                start.max(first)..at + 1
            });
            all.skip(before).collect()
        });
        let ranges: Vec<Vec<_>> = ranges.collect();
        let everything = ranges.iter().flatten().all(|range| *range == (0..keys));
        (!everything).then(|| KeyRanges::new(&ranges, keys, device))
    }
}

const NO_TOKENS: &str = "the row has no tokens";
const UNLIKE: &str = "segments and token ids differ in length";

fn problem<T>(row: usize, problem: &'static str) -> Result<T, ModelError> {
    Err(ModelError::Batch { row, problem })
}

fn check(texts: &[Text<'_>]) -> Result<(), ModelError> {
    for (at, text) in texts.iter().enumerate() {
        if text.ids.is_empty() {
            return problem(at, NO_TOKENS);
        }
        if text.ids.len() != text.segments.len() {
            return problem(at, UNLIKE);
        }
    }
    Ok(())
}

fn whole_rows(rows: usize, seq: usize) -> Vec<Range<usize>> {
    (0..rows).map(|row| row * seq..(row + 1) * seq).collect()
}

/// Positions of a row's tokens: each counts the tokens of its segment before it.
fn positions(segments: &[u32]) -> Vec<usize> {
    let mut at = 0;
    let mut previous = None;
    segments
        .iter()
        .map(|segment| {
            at = if previous == Some(segment) { at + 1 } else { 0 };
            previous = Some(segment);
            at
        })
        .collect()
}
