//! Pieces of packed matrices, unpacked.

use std::cell::Cell;
use std::ops::Range;

use faer::{Accum, MatRef};

use super::PackedRows;
use crate::matrix::ALIGNMENT;

/// Room for unpacked values, used again and again.
#[derive(Default)]
pub(crate) struct Tile(Vec<f32>);

thread_local! {
    /// The room of a thread.
    pub(super) static OF_THREAD: Cell<Tile> = Cell::default();
}

impl Tile {
    /// The values of some rows and of columns that are whole blocks, row after row.
    pub(super) fn values(
        &mut self,
        packed: &dyn PackedRows,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> &[f32] {
        let count = rows.len() * columns.len();
        if self.0.len() < count {
            self.0.resize(count, 0.0);
        }
        let values = &mut self.0[..count];
        packed.unpack(rows, columns, values);
        values
    }

    /// A piece of the matrix, whose columns may cut blocks.
    pub(crate) fn unpack(
        &mut self,
        packed: &dyn PackedRows,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> MatRef<'_, f32> {
        let whole = whole_blocks(packed, &columns);
        let (height, width) = (rows.len(), whole.len());
        let values = self.values(packed, rows, whole.clone());
        MatRef::from_row_major_slice(values, height, width)
            .subcols(columns.start - whole.start, columns.len())
    }
}

/// The columns of the blocks that hold some columns.
pub(super) fn whole_blocks(packed: &dyn PackedRows, columns: &Range<usize>) -> Range<usize> {
    let block = packed.block();
    columns.start / block * block..columns.end.next_multiple_of(block)
}

/// The first part of a sum replaces what was there.
pub(crate) fn how(start: usize) -> Accum {
    match start {
        0 => Accum::Replace,
        _ => Accum::Add,
    }
}

/// A range in pieces that begin at multiples of `length`, so that nothing is unpacked twice; what is too thin for a piece of its own is a
/// part of the one before it.
pub(crate) fn pieces(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = range.start;
    std::iter::from_fn(move || {
        (from < range.end).then(|| {
            let start = from;
            from = ((start / length + 1) * length).min(range.end);
            if range.end - from < ALIGNMENT {
                from = range.end;
            }
            start..from
        })
    })
}
