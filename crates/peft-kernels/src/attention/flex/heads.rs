//! From tensors of heads to matrices, one per sequence and head, and back.

use std::ops::Range;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{DType, TensorMetadata};
use burn::tensor::Bytes;
use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::part::Part;
use super::shape::Shape;
use super::tile::{Scratch, Weights};
use crate::flex::contiguous;
use peft_bf16::zeros;

/// The tensor with the values of each head of a token next to each other; a copy only where they are not.
pub(super) fn with_unit_rows(x: FlexTensor) -> FlexTensor {
    let strides = x.layout().strides();
    let readable = (strides[3] == 1 || x.shape()[3] == 1) && strides.iter().all(|step| *step >= 0);
    if readable { x } else { contiguous(x) }
}

/// The tokens of one head of one sequence, `[tokens, d]`.
fn head(x: &FlexTensor, sequence: usize, head: usize) -> MatRef<'_, f32> {
    let (layout, shape) = (x.layout(), x.shape());
    let steps: [usize; 3] = std::array::from_fn(|axis| layout.strides()[axis].unsigned_abs());
    let start = layout.start_offset() + sequence * steps[0] + head * steps[1];
    let values = &x.storage::<f32>()[start..];
    MatRef::from_row_major_slice_with_stride(values, shape[2], shape[3], steps[2])
}

/// A new tensor of tokens with their heads side by side: memory `[batch, tokens, heads, d]`.
struct Tokens {
    values: Vec<f32>,
    sizes: [usize; 4],
}

impl Tokens {
    fn new(batch: usize, heads: usize, tokens: usize, d: usize) -> Self {
        Self {
            values: zeros(batch * heads * tokens * d),
            sizes: [batch, tokens, heads, d],
        }
    }

    /// A matrix of each sequence, each `width` values of a token and each part's tokens, in this order.
    fn parts<'a>(
        &'a mut self,
        width: usize,
        parts: &[Vec<Part>],
        tokens_of: fn(&Part) -> &Range<usize>,
    ) -> Vec<MatMut<'a, f32>> {
        let [_, tokens, heads, d] = self.sizes;
        let mut found = Vec::new();
        let sequences = self.values.chunks_exact_mut((tokens * heads * d).max(1));
        for (sequence, parts) in sequences.zip(parts) {
            let mut rest = MatMut::from_row_major_slice_mut(sequence, tokens, heads * d);
            while rest.ncols() > 0 {
                let (mut columns, others) = rest.split_at_col_mut(width);
                rest = others;
                for part in parts {
                    let (own, below) = columns.split_at_row_mut(tokens_of(part).len());
                    found.push(own);
                    columns = below;
                }
            }
        }
        found
    }

    /// As a tensor `[batch, heads, tokens, d]`, without moving a value.
    fn into_tensor(self) -> FlexTensor {
        let layout = Layout::contiguous(self.sizes.into()).permute(&[0, 2, 1, 3]);
        FlexTensor::new(Bytes::from_elems(self.values), layout, DType::F32)
    }
}

/// Each part of each of `heads` heads, counted over all sequences, in the order of [`Tokens::parts`].
fn of_heads(parts: &[Vec<Part>], heads: usize) -> impl Iterator<Item = (usize, &Part)> {
    let sequences = parts.iter().enumerate();
    sequences.flat_map(move |(sequence, parts)| {
        let of_sequence = sequence * heads..(sequence + 1) * heads;
        of_sequence.flat_map(move |head| parts.iter().map(move |part| (head, part)))
    })
}

/// Does `work` for every item, with a scratch of its thread's.
fn each<T: Send>(shape: Shape, items: Vec<T>, work: impl Fn(&mut Scratch, T) + Sync) {
    if shape.is_small() {
        let mut scratch = Scratch::default();
        items.into_iter().for_each(|item| work(&mut scratch, item));
    } else {
        items
            .into_par_iter()
            .for_each_init(Scratch::default, |scratch, item| work(scratch, item));
    }
}

/// The output, and of every row of scores the largest and one over the sum of exponentials.
pub(super) fn forward(
    weights: &Weights<'_>,
    query: &FlexTensor,
    key: &FlexTensor,
    value: &FlexTensor,
) -> (FlexTensor, Vec<[f32; 2]>) {
    let (shape, parts) = (weights.shape(), weights.parts());
    let Shape {
        batch,
        heads,
        queries,
        d,
        ..
    } = shape;
    let mut output = Tokens::new(batch, heads, queries, d);
    let mut rows = vec![[0.0; 2]; batch * heads * queries];
    let mut rest = rows.as_mut_slice();
    let outputs = output.parts(d, parts, |part| &part.queries);
    let items = of_heads(parts, heads).zip(outputs);
    let items: Vec<_> = items
        .map(|((at, part), output)| {
            let rows = rest.split_off_mut(..part.queries.len());
            (at, part, output, rows.expect("a row for each query"))
        })
        .collect();
    each(shape, items, |scratch, (at, part, output, rows)| {
        let (sequence, at_head) = (at / heads, at % heads);
        let kv_head = at_head / shape.group();
        weights.of_head(at, part).forward(
            [
                head(query, sequence, at_head),
                head(key, sequence, kv_head),
                head(value, sequence, kv_head),
            ],
            scratch,
            rows,
            output,
        );
    });
    (output.into_tensor(), rows)
}

/// Gradients of queries, keys and values, from the inputs, the gradient of the output and what the forward gave for every row.
pub(super) fn backward(
    weights: &Weights<'_>,
    [query, key, value, grad]: [&FlexTensor; 4],
    rows: &[[f32; 2]],
) -> [FlexTensor; 3] {
    let (shape, parts) = (weights.shape(), weights.parts());
    let Shape {
        batch,
        heads,
        kv_heads,
        queries,
        keys,
        d,
    } = shape;
    let group = shape.group();
    let mut d_query = Tokens::new(batch, heads, queries, d);
    let mut d_key = Tokens::new(batch, kv_heads, keys, d);
    let mut d_value = Tokens::new(batch, kv_heads, keys, d);
    let d_queries = d_query.parts(group * d, parts, |part| &part.queries);
    let d_keys = d_key.parts(d, parts, |part| &part.keys);
    let d_values = d_value.parts(d, parts, |part| &part.keys);
    let items = of_heads(parts, kv_heads).zip(d_queries);
    let items = items.zip(d_keys.into_iter().zip(d_values)).collect();
    each(
        shape,
        items,
        |scratch, (((at, part), d_queries), (mut d_key, mut d_value))| {
            let (sequence, kv_head) = (at / kv_heads, at % kv_heads);
            let mut rest = d_queries;
            for at_head in kv_head * group..(kv_head + 1) * group {
                let (d_query, others) = rest.split_at_col_mut(d);
                rest = others;
                let of_head = sequence * heads + at_head;
                let first = of_head * queries;
                weights.of_head(of_head, part).backward(
                    [
                        head(query, sequence, at_head),
                        head(key, sequence, kv_head),
                        head(value, sequence, kv_head),
                        head(grad, sequence, at_head),
                    ],
                    scratch,
                    &rows[first + part.queries.start..first + part.queries.end],
                    [d_query, d_key.as_mut(), d_value.as_mut()],
                );
            }
        },
    );
    [d_query, d_key, d_value].map(Tokens::into_tensor)
}
