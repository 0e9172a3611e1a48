//! Matrices of a folder, in what they are to be kept.

use peft_core::{Layout, PackedWeight, Weight};

use super::{HeadPolicy, Located, WeightReader};
use crate::error::ModelError;
use crate::hf::archive::{Rows, TensorEntry};
use crate::hf::dtype::FloatDtype;
use crate::hf::initial::Start;
use crate::packed::{Contents, Form, Packing, Storage};

/// What a matrix is to its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A layer among others.
    Layer,
    /// A table of embeddings or an output layer: it has a row for each token.
    Table,
}

/// A matrix that was read.
#[derive(Debug)]
pub(super) enum Matrix {
    /// Values in the file's orientation.
    Values(Vec<f32>),
    /// Packed rows, in the file's orientation or turned.
    Packed(Rows),
}

impl Matrix {
    /// What stands for a matrix that does not fit.
    pub(super) const ZERO: Self = Self::Values(Vec::new());
}

impl WeightReader {
    /// The matrix called `name` in the file's orientation; `None` as for [`Self::values`].
    pub(super) fn matrix(
        &mut self,
        name: &str,
        dims: [usize; 2],
        role: Role,
        head: Option<HeadPolicy>,
    ) -> Option<Matrix> {
        let (entry, dtype) = match self.locate(name, &dims, Start::Normal, head)? {
            Located::Fresh(values) => return Some(Matrix::Values(values)),
            Located::File(entry, dtype) => (entry, dtype),
        };
        let form = self.form(&entry, dims, role, head);
        match self.kept.contents {
            Contents::Sizes => Some(Matrix::Packed(form.stand_in(dims))),
            Contents::Values => self.in_form(name, form, &entry, dtype, dims),
        }
    }

    /// What a matrix of the file is kept in.
    fn form(
        &self,
        entry: &TensorEntry,
        dims: [usize; 2],
        role: Role,
        head: Option<HeadPolicy>,
    ) -> Form {
        let stored = || {
            let archive = self.archive.as_ref();
            let kind = archive.and_then(|archive| archive.block_format(entry));
            kind.map_or(Form::F32, Form::Stored)
        };
        let format = match self.kept.storage {
            _ if head.is_some() => return Form::F32,
            Storage::F32 => return Form::F32,
            Storage::Stored => return stored(),
            Storage::Packed(format) if role == Role::Table => format.of_tables(),
            Storage::Packed(format) => format,
        };
        match dims[1].is_multiple_of(format.block()) {
            true => Form::Packed(format),
            false => stored(),
        }
    }

    /// Reads a matrix of the file into its form.
    fn in_form(
        &mut self,
        name: &str,
        form: Form,
        entry: &TensorEntry,
        dtype: FloatDtype,
        dims: [usize; 2],
    ) -> Option<Matrix> {
        let archive = self.archive.as_ref()?;
        let rows = match form {
            Form::F32 => Ok(None),
            Form::Stored(_) => archive.packed(entry),
            Form::Packed(format) => {
                let failed = |source| ModelError::Pack {
                    dir: self.dir.clone(),
                    name: name.to_owned(),
                    format,
                    source,
                };
                let packing = Packing::new(format, dims).map_err(failed);
                packing.and_then(|mut packing| {
                    let each = |values: &[f32]| packing.push(values).map_err(failed);
                    archive.each_values(entry, dtype, each)?;
                    // A tensor of this shape has all of its values.
                    Ok(packing.finish().map(Rows::in_place))
                })
            }
        };
        if let Some(rows) = self.read(rows)? {
            return Some(Matrix::Packed(rows));
        }
        let values = self.archive.as_ref()?.read_f32(entry, dtype);
        self.read(values).map(Matrix::Values)
    }

    /// The parameter `name`, `[d_in, d_out]` in memory and laid out so in files.
    pub(super) fn weight(
        &mut self,
        name: &str,
        matrix: Matrix,
        [d_in, d_out]: [usize; 2],
        layout: Layout,
    ) -> Weight {
        match matrix {
            Matrix::Packed(Rows { rows, turned }) => {
                let id = self.names.insert(name, layout);
                let of_outputs = (layout == Layout::Transposed) != turned;
                let weight = match of_outputs {
                    true => PackedWeight::of_outputs(rows),
                    false => PackedWeight::of_inputs(rows),
                };
                Weight::packed(id, weight, &self.device)
            }
            Matrix::Values(values) => {
                let values = match layout {
                    _ if values.is_empty() => vec![0.0],
                    Layout::Transposed => transposed(&values, d_out, d_in),
                    Layout::AsIs => values,
                };
                self.register::<2>(name, values, [d_in, d_out], layout)
                    .into()
            }
        }
    }
}

/// `[rows, cols]` to `[cols, rows]`, in blocks that stay in the cache.
fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut output = vec![0.0; values.len()];
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..cols).step_by(BLOCK) {
            for row in top..(top + BLOCK).min(rows) {
                for col in left..(left + BLOCK).min(cols) {
                    output[col * rows + row] = values[row * cols + col];
                }
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::transposed;

    #[test]
    fn transposing_moves_every_element_and_twice_is_nothing() {
        let values: Vec<f32> = (0..70_u16 * 35).map(f32::from).collect();
        let turned = transposed(&values, 70, 35);
        assert_eq!(turned[3 * 70 + 64], values[64 * 35 + 3]);
        assert_eq!(transposed(&turned, 35, 70), values);
    }
}
