//! From tensors of heads to matrices, one per sequence and head, and back.

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{DType, TensorMetadata};
use burn::tensor::Bytes;
use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::shape::Shape;
use super::tile::{Scratch, Weights};
use crate::flex::contiguous;
use crate::matrix::zeros;

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

    /// A matrix `[tokens, width]` of each sequence and each `width` values of a token, by sequence and then by place.
    fn parts(&mut self, width: usize) -> Vec<MatMut<'_, f32>> {
        let [_, tokens, heads, d] = self.sizes;
        let mut parts = Vec::new();
        for sequence in self.values.chunks_exact_mut((tokens * heads * d).max(1)) {
            let mut rest = MatMut::from_row_major_slice_mut(sequence, tokens, heads * d);
            while rest.ncols() > 0 {
                let (part, others) = rest.split_at_col_mut(width);
                parts.push(part);
                rest = others;
            }
        }
        parts
    }

    /// As a tensor `[batch, heads, tokens, d]`, without moving a value.
    fn into_tensor(self) -> FlexTensor {
        let layout = Layout::contiguous(self.sizes.into()).permute(&[0, 2, 1, 3]);
        FlexTensor::new(Bytes::from_elems(self.values), layout, DType::F32)
    }
}

/// Does `work` for every item, with a scratch of its thread's.
fn each<T: Send>(shape: Shape, items: Vec<T>, work: impl Fn(&mut Scratch, usize, T) + Sync) {
    let items = items.into_iter().enumerate();
    if shape.is_small() {
        let mut scratch = Scratch::default();
        items.for_each(|(at, item)| work(&mut scratch, at, item));
    } else {
        let items: Vec<(usize, T)> = items.collect();
        items
            .into_par_iter()
            .for_each_init(Scratch::default, |scratch, (at, item)| {
                work(scratch, at, item)
            });
    }
}

/// The output, and of every row of scores the largest and one over the sum of exponentials.
pub(super) fn forward(
    weights: &Weights<'_>,
    query: &FlexTensor,
    key: &FlexTensor,
    value: &FlexTensor,
) -> (FlexTensor, Vec<[f32; 2]>) {
    let shape = weights.shape();
    let Shape {
        batch,
        heads,
        queries,
        d,
        ..
    } = shape;
    let mut output = Tokens::new(batch, heads, queries, d);
    let mut rows = vec![[0.0; 2]; batch * heads * queries];
    let parts = output.parts(d);
    let items: Vec<_> = parts
        .into_iter()
        .zip(rows.chunks_mut(queries.max(1)))
        .collect();
    each(shape, items, |scratch, at, (output, rows)| {
        let (sequence, at_head) = (at / heads, at % heads);
        let kv_head = at_head / shape.group();
        weights.of_head(at).forward(
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
    let shape = weights.shape();
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
    let parts = d_query.parts(group * d).into_iter();
    let items: Vec<_> = parts.zip(d_key.parts(d)).zip(d_value.parts(d)).collect();
    each(
        shape,
        items,
        |scratch, at, ((d_queries, mut d_key), mut d_value)| {
            let (sequence, kv_head) = (at / kv_heads, at % kv_heads);
            let mut rest = d_queries;
            for at_head in kv_head * group..(kv_head + 1) * group {
                let (d_query, others) = rest.split_at_col_mut(d);
                rest = others;
                let of_head = sequence * heads + at_head;
                weights.of_head(of_head).backward(
                    [
                        head(query, sequence, at_head),
                        head(key, sequence, kv_head),
                        head(value, sequence, kv_head),
                        head(grad, sequence, at_head),
                    ],
                    scratch,
                    &rows[of_head * queries..(of_head + 1) * queries],
                    [d_query, d_key.as_mut(), d_value.as_mut()],
                );
            }
        },
    );
    [d_query, d_key, d_value].map(Tokens::into_tensor)
}
