//! What a decoder reads: token ids, their positions, and who may see whom.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use peft_kernels::KeyRanges;

use crate::error::ModelError;

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
            return Err(ModelError::Batch {
                row,
                problem: "the row has no tokens",
            });
        }
        let (ids, segments): (Vec<_>, Vec<_>) = rows.iter().map(pad).unzip();
        Self::packed(&ids, segments, device)
    }

    /// Rows of one length, with the segment of every token.
    ///
    /// # Errors
    /// [`ModelError::Batch`] when there is no row, rows differ in length, or segments and ids do.
    pub fn packed(
        rows: &[Vec<u32>],
        segments: Vec<Vec<u32>>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let seq = rows.first().map_or(0, Vec::len);
        let problem = |row, problem| Err(ModelError::Batch { row, problem });
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
            return problem(row, "segments and token ids differ in length");
        }
        let ids: Vec<i64> = rows.iter().flatten().map(|id| i64::from(*id)).collect();
        Ok(Self {
            ids: Tensor::from_data(TensorData::new(ids, [rows.len(), seq]), device),
            positions: segments.iter().map(|row| positions(row)).collect(),
            segments,
            largest_id: rows.iter().flatten().copied().max().unwrap_or(0) as usize,
        })
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

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    /// The ranges of one sequence.
    fn of(seen: &Option<KeyRanges>, sequence: usize) -> Vec<Range<usize>> {
        let seen = seen.as_ref().unwrap();
        let [_, queries, _] = seen.dims();
        (0..queries)
            .map(|query| seen.get(sequence, query))
            .collect()
    }

    #[test]
    fn tokens_see_their_own_segment_up_to_themselves() {
        let device = Device::default();
        let rows = [vec![5, 6, 7, 8]];
        let batch = CausalBatch::packed(&rows, vec![vec![0, 1, 1, 2]], &device).unwrap();
        assert_eq!(batch.positions, [[0, 0, 1, 0]]);
        let seen = batch.seen(&[], None, &device);
        assert_eq!(of(&seen, 0), [0..1, 1..2, 1..3, 3..4]);
    }

    #[test]
    fn a_window_counts_the_token_itself_and_earlier_keys_come_first() {
        let device = Device::default();
        let batch = CausalBatch::left_padded(&[vec![1, 2, 3], vec![4, 5, 6]], &device).unwrap();
        let seen = batch.seen(&[], Some(2), &device);
        assert_eq!(of(&seen, 0), [0..1, 0..2, 1..3]);
        assert_eq!(seen.unwrap().dims(), [1, 3, 3]); // both rows are alike
        let next = CausalBatch::left_padded(&[vec![7], vec![8]], &device).unwrap();
        let next = next.after(&batch.segments);
        assert_eq!(next.positions, [[3], [3]]);
        assert!(next.seen(&batch.segments, None, &device).is_none());
        let seen = next.seen(&batch.segments, Some(2), &device);
        assert_eq!([of(&seen, 0), of(&seen, 1)].concat(), [2..4, 2..4]);
    }

    #[test]
    fn shorter_rows_are_padded_on_the_left_and_padding_is_not_seen() {
        let device = Device::default();
        let batch = CausalBatch::left_padded(&[vec![9], vec![4, 5]], &device).unwrap();
        assert_eq!(batch.positions, [[0, 0], [0, 1]]);
        let next = CausalBatch::left_padded(&[vec![1], vec![2]], &device).unwrap();
        let next = next.after(&batch.segments);
        assert_eq!(next.positions, [[1], [2]]);
        let seen = next.seen(&batch.segments, None, &device);
        assert_eq!([of(&seen, 0), of(&seen, 1)].concat(), [1..3, 0..3]);
        assert!(CausalBatch::left_padded(&[vec![1], vec![]], &device).is_err());
    }
}
