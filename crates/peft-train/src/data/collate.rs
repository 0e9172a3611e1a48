//! The examples of a batch as rectangles, padded on the right to the longest.

use super::tokenize::Encoded;

/// A batch on the host; every rectangle is row-major `[batch, seq]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Padded {
    /// Token ids, the pad id behind the end of a text.
    pub ids: Vec<i32>,
    /// Whether a position holds a token of the text.
    pub mask: Vec<bool>,
    /// Token type ids, 0 behind the end of a text.
    pub type_ids: Vec<i32>,
    /// The number of tokens of each text.
    pub lengths: Vec<usize>,
    /// The number of examples.
    pub batch: usize,
    /// The number of tokens of the longest.
    pub seq: usize,
}

impl Padded {
    /// Pads `rows` to the longest of them.
    ///
    /// # Panics
    /// When a token id is greater than `i32::MAX`, which [`TextTokenizer`](super::TextTokenizer) refuses.
    pub fn collate(rows: &[&Encoded], pad_id: u32) -> Self {
        let (batch, seq) = (
            rows.len(),
            rows.iter()
                .map(|row| row.ids.len())
                .max()
                .unwrap_or_default(),
        );
        let mut padded = Self {
            ids: Vec::with_capacity(batch * seq),
            mask: Vec::with_capacity(batch * seq),
            type_ids: Vec::with_capacity(batch * seq),
            lengths: rows.iter().map(|row| row.ids.len()).collect(),
            batch,
            seq,
        };
        for (row, end) in rows.iter().zip(1..) {
            padded.ids.extend(row.ids.iter().map(|&id| signed(id)));
            padded.ids.resize(end * seq, signed(pad_id));
            padded.mask.resize((end - 1) * seq + row.ids.len(), true);
            padded.mask.resize(end * seq, false);
            padded
                .type_ids
                .extend(row.type_ids.iter().map(|&id| signed(id)));
            padded.type_ids.resize(end * seq, 0);
        }
        padded
    }
}

fn signed(id: u32) -> i32 {
    i32::try_from(id).expect("the tokenizer refuses ids above i32::MAX")
}
