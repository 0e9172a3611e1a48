//! Token batches: sequences padded to the longest, with a mask only when there is padding.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::error::ModelError;

/// A padded batch on a device.
#[derive(Debug, Clone)]
pub struct TokenBatch {
    /// Token ids, shape `[batch, seq]`, padded on the right.
    pub ids: Tensor<2, Int>,
    /// `true` marks padding, shape `[batch, seq]`; absent when no row is padded.
    pub mask: Option<Tensor<2, Bool>>,
    /// Token types, shape `[batch, seq]`; absent when all are 0.
    pub type_ids: Option<Tensor<2, Int>>,
    /// Tokens per row without padding.
    pub lengths: Vec<usize>,
    pub(crate) largest_id: usize,
    pub(crate) largest_type: usize,
}

impl TokenBatch {
    /// Pads `rows` with `pad_id` to the longest of them.
    ///
    /// # Errors
    /// [`ModelError::Batch`] when there is no row, a row is empty, or the token types do not match the rows.
    pub fn new(
        rows: &[Vec<u32>],
        type_ids: Option<&[Vec<u32>]>,
        pad_id: u32,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check(rows, type_ids)?;
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let seq = lengths.iter().copied().max().unwrap_or(0);
        let padded = lengths.iter().any(|length| *length < seq);
        let mask = padded.then(|| {
            let mask: Vec<bool> = lengths
                .iter()
                .flat_map(|length| (0..seq).map(move |i| i >= *length))
                .collect();
            Tensor::from_data(TensorData::new(mask, [rows.len(), seq]), device)
        });
        let largest_type = type_ids.map_or(0, largest);
        Ok(Self {
            ids: padded_tensor(rows, seq, pad_id, device),
            mask,
            type_ids: type_ids
                .filter(|_| largest_type > 0)
                .map(|types| padded_tensor(types, seq, 0, device)),
            lengths,
            largest_id: largest(rows).max(if padded { pad_id as usize } else { 0 }),
            largest_type,
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Length of the longest row.
    #[must_use]
    pub fn seq(&self) -> usize {
        self.ids.dims()[1]
    }

    /// Number of tokens that are not padding.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }
}

fn check(rows: &[Vec<u32>], type_ids: Option<&[Vec<u32>]>) -> Result<(), ModelError> {
    let problem = |row, problem| Err(ModelError::Batch { row, problem });
    if rows.is_empty() {
        return problem(0, "the batch has no rows");
    }
    if let Some(row) = rows.iter().position(Vec::is_empty) {
        return problem(row, "the row has no tokens");
    }
    let Some(types) = type_ids else {
        return Ok(());
    };
    if types.len() != rows.len() {
        return problem(
            types.len().min(rows.len()),
            "token types and token ids differ in their number of rows",
        );
    }
    match rows
        .iter()
        .zip(types)
        .position(|(ids, types)| ids.len() != types.len())
    {
        Some(row) => problem(row, "token types and token ids differ in length"),
        None => Ok(()),
    }
}

fn largest(rows: &[Vec<u32>]) -> usize {
    rows.iter().flatten().copied().max().unwrap_or(0) as usize
}

fn padded_tensor(rows: &[Vec<u32>], seq: usize, pad: u32, device: &Device) -> Tensor<2, Int> {
    let row = |row: &Vec<u32>| -> Vec<i32> {
        let padding = std::iter::repeat_n(pad, seq - row.len());
        row.iter()
            .copied()
            .chain(padding)
            .map(u32::cast_signed)
            .collect()
    };
    let values: Vec<i32> = rows.iter().flat_map(row).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), seq]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ragged_batch_is_padded_on_the_right_and_masked() {
        let device = Device::flex();
        let batch = TokenBatch::new(&[vec![5, 6, 7], vec![8]], None, 1, &device).unwrap();
        let ids: Vec<i64> = batch.ids.to_data().iter::<i64>().collect();
        assert_eq!(ids, [5, 6, 7, 8, 1, 1]);
        let mask: Vec<bool> = batch.mask.unwrap().to_data().iter::<bool>().collect();
        assert_eq!(mask, [false, false, false, false, true, true]);
        assert_eq!((batch.lengths, batch.largest_id), (vec![3, 1], 8));
    }

    #[test]
    fn an_even_batch_has_no_mask_and_zero_types_are_dropped() {
        let device = Device::flex();
        let types = [vec![0, 0], vec![0, 0]];
        let batch = TokenBatch::new(&[vec![5, 6], vec![8, 9]], Some(&types), 0, &device).unwrap();
        assert!(batch.mask.is_none() && batch.type_ids.is_none());
        let types = [vec![0, 1], vec![0, 0]];
        let batch = TokenBatch::new(&[vec![5, 6], vec![8, 9]], Some(&types), 0, &device).unwrap();
        assert!(batch.type_ids.is_some());
    }

    #[test]
    fn batches_that_make_no_sense_are_refused_by_row() {
        let device = Device::flex();
        let row_of = |rows: &[Vec<u32>], types: Option<&[Vec<u32>]>| match TokenBatch::new(
            rows, types, 0, &device,
        )
        .unwrap_err()
        {
            ModelError::Batch { row, .. } => row,
            other => panic!("{other}"),
        };
        assert_eq!(row_of(&[], None), 0);
        assert_eq!(row_of(&[vec![1], vec![]], None), 1);
        assert_eq!(row_of(&[vec![1], vec![2]], Some(&[vec![0], vec![0, 0]])), 1);
        assert_eq!(row_of(&[vec![1]], Some(&[vec![0], vec![0]])), 1);
    }
}
