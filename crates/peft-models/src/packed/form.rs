//! What one matrix is kept in, and what stands for it while its values are not read.

use std::ops::Range;
use std::sync::Arc;

use peft_core::PackedRows;
use peft_gguf::GgmlType;

use super::PackFormat;
use crate::hf::Rows;

/// What one matrix is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// 32 bits a value.
    F32,
    /// The blocks of its file.
    Stored(GgmlType),
    /// Rounded to a format.
    Packed(PackFormat),
}

impl Form {
    /// What stands for a matrix in this form.
    pub(crate) fn stand_in(self, dims: [usize; 2]) -> Rows {
        Rows::in_place(Arc::new(StandIn { dims, form: self }))
    }

    /// Bytes of so many values, whole blocks.
    fn bytes(self, values: usize) -> usize {
        match self {
            Self::F32 => values.saturating_mul(size_of::<f32>()),
            Self::Stored(kind) => PackFormat::Ggml(kind).bytes(values),
            Self::Packed(format) => format.bytes(values),
        }
    }
}

/// A matrix of which no more is known than its size and form; its values are zeros.
#[derive(Debug)]
struct StandIn {
    dims: [usize; 2],
    form: Form,
}

impl PackedRows for StandIn {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }

    fn block(&self) -> usize {
        1
    }

    /// What the matrix itself would take.
    fn bytes(&self) -> usize {
        self.form.bytes(self.dims[0].saturating_mul(self.dims[1]))
    }

    fn format(&self) -> &'static str {
        match self.form {
            Form::F32 => GgmlType::F32.name(),
            Form::Stored(kind) | Form::Packed(PackFormat::Ggml(kind)) => kind.name(),
            Form::Packed(PackFormat::Nf4) => "NF4",
        }
    }

    fn unpack(&self, _rows: Range<usize>, _columns: Range<usize>, values: &mut [f32]) {
        values.fill(0.0);
    }
}
