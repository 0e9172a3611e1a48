//! Frozen weights that are kept in few bits and multiplied by without ever being unpacked as a whole.
//!
//! A format is a [`PackedRows`]: rows of blocks, of which a piece can be had as numbers. The fused products unpack the tile that they are
//! about to multiply by, so that no more than some hundred kilobytes of numbers exist at a time. On the devices of CubeCL a weight's [`Codes`]
//! lie in the device's memory, and a product unpacks the weight there; elsewhere it is unpacked here and sent for each product.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

mod codes;
#[cfg(feature = "cube")]
pub(crate) mod cube;
#[cfg(feature = "flex")]
mod few;
#[cfg(feature = "flex")]
pub(crate) mod flex;
mod nf4;
#[cfg(test)]
mod tests;
#[cfg(feature = "flex")]
pub(crate) mod tile;
#[cfg(feature = "flex")]
pub(crate) mod values;

pub use codes::Codes;
pub use nf4::{Nf4, Nf4Error};

/// A matrix of which pieces can be had as `f32`.
pub trait PackedRows: fmt::Debug + Send + Sync + 'static {
    /// `[rows, columns]`.
    fn dims(&self) -> [usize; 2];

    /// How many neighbours in a row are packed together; a row is a whole number of them.
    fn block(&self) -> usize;

    /// Bytes that it takes.
    fn bytes(&self) -> usize;

    /// What the format is called.
    fn format(&self) -> &'static str;

    /// The values of some rows and columns, row after row.
    ///
    /// The columns begin and end at multiples of [`Self::block`], and `values` has room for exactly these.
    fn unpack(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]);

    /// The whole matrix as devices with a memory of their own keep it; `None` where the format has no such form.
    fn codes(&self) -> Option<Codes> {
        None
    }
}

/// A packed weight `[d_in, d_out]`; clones share it.
#[derive(Debug, Clone)]
pub struct PackedWeight {
    rows: Arc<dyn PackedRows>,
    #[cfg(feature = "cube")]
    sent: Arc<cube::Sent>,
    /// Whether a row is what one output is made of: the matrix is `[d_out, d_in]`.
    transposed: bool,
}

impl PackedWeight {
    /// The weight of a linear layer as PyTorch stores it: `[d_out, d_in]`, a row for each output.
    #[must_use]
    pub fn of_outputs(rows: Arc<dyn PackedRows>) -> Self {
        Self::new(rows, true)
    }

    /// A weight that is stored `[d_in, d_out]`, a row for each input: a table of embeddings.
    #[must_use]
    pub fn of_inputs(rows: Arc<dyn PackedRows>) -> Self {
        Self::new(rows, false)
    }

    fn new(rows: Arc<dyn PackedRows>, transposed: bool) -> Self {
        Self {
            rows,
            #[cfg(feature = "cube")]
            sent: Arc::default(),
            transposed,
        }
    }

    /// `[d_in, d_out]`.
    #[must_use]
    pub fn dims(&self) -> [usize; 2] {
        let [rows, columns] = self.rows.dims();
        match self.transposed {
            true => [columns, rows],
            false => [rows, columns],
        }
    }

    /// The transposed weight, which shares the values.
    #[must_use]
    pub fn transpose(&self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self.clone()
        }
    }

    /// What the format is called.
    #[must_use]
    pub fn format(&self) -> &'static str {
        self.rows.format()
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// All values, shape `[d_in, d_out]`, in f32.
    #[must_use]
    pub fn dense(&self, device: &Device) -> Tensor<2> {
        let stored = self.unpacked_there(None, device).unwrap_or_else(|| {
            let [rows, columns] = self.rows.dims();
            let mut values = vec![0.0; rows * columns];
            self.rows.unpack(0..rows, 0..columns, &mut values);
            Tensor::from_data(TensorData::new(values, [rows, columns]), device)
        });
        match self.transposed {
            true => stored.transpose(),
            false => stored,
        }
    }

    /// The weight in the memory of a device of CubeCL, if it can be there.
    #[cfg(feature = "cube")]
    pub(crate) fn on_cube(&self, device: &Device) -> Option<cube::OnDevice> {
        self.sent.on(device, &*self.rows)
    }

    /// Whether a stored row is what one output is made of.
    #[cfg(feature = "cube")]
    pub(crate) fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// The values as they are stored, of all rows or of some, where the device itself unpacks them.
    fn unpacked_there(&self, ids: Option<&Tensor<1, Int>>, device: &Device) -> Option<Tensor<2>> {
        #[cfg(feature = "cube")]
        return self.sent.values(&*self.rows, ids, device, DType::F32);
        #[cfg(not(feature = "cube"))]
        {
            let _ = (ids, device);
            None
        }
    }

    /// The rows of some inputs, `W[ids]`: shape `[ids, d_out]`, in f32 on the device of the ids.
    ///
    /// # Panics
    /// When an id is not below `d_in`; a device of CubeCL, whose ids are read nowhere else, gives NaN for it.
    #[must_use]
    pub fn lookup(&self, ids: &Tensor<1, Int>) -> Tensor<2> {
        let device = ids.device();
        if self.transposed {
            return self.dense(&device).select(0, ids.clone());
        }
        if let Some(values) = self.unpacked_there(Some(ids), &device) {
            return values;
        }
        let [rows, columns] = self.rows.dims();
        let ids = crate::read(ids.clone());
        let mut values = vec![0.0; ids.num_elements() * columns];
        for (id, values) in ids.iter::<i64>().zip(values.chunks_exact_mut(columns)) {
            let row = usize::try_from(id).ok().filter(|row| *row < rows);
            let Some(row) = row else {
                panic!("lookup: the id {id} is not one of the {rows} of the table");
            };
            self.rows.unpack(row..row + 1, 0..columns, values);
        }
        let shape = [ids.num_elements(), columns];
        Tensor::from_data(TensorData::new(values, shape), &device)
    }

    /// The rows as they are stored, and whether they are those of outputs.
    #[cfg(feature = "flex")]
    pub(crate) fn stored(&self) -> (&dyn PackedRows, bool) {
        (&*self.rows, self.transposed)
    }
}

/// The second factor of a product: a tensor, or a packed weight.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a tensor is that large, and factors are made and used up one by one"
)]
pub enum Factor {
    /// A tensor `[d_in, d_out]`.
    Dense(Tensor<2>),
    /// A frozen weight in few bits.
    Packed(PackedWeight),
}

impl Factor {
    /// `[d_in, d_out]`.
    #[must_use]
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Dense(weight) => weight.dims(),
            Self::Packed(weight) => weight.dims(),
        }
    }

    /// Whether gradients are wanted of it.
    #[cfg(feature = "flex")]
    pub(crate) fn trains(&self) -> bool {
        matches!(self, Self::Dense(weight) if weight.is_require_grad())
    }

    /// The type of the values: f32 of a packed weight.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match self {
            Self::Dense(weight) => weight.dtype(),
            Self::Packed(_) => DType::F32,
        }
    }

    /// The transposed factor.
    #[must_use]
    pub fn transpose(&self) -> Self {
        match self {
            Self::Dense(weight) => Self::Dense(weight.clone().transpose()),
            Self::Packed(weight) => Self::Packed(weight.transpose()),
        }
    }

    /// The values as a tensor, on the device where they are needed.
    #[must_use]
    pub fn dense(self, device: &Device) -> Tensor<2> {
        match self {
            Self::Dense(weight) => weight,
            Self::Packed(weight) => weight.dense(device),
        }
    }
}

impl From<Tensor<2>> for Factor {
    fn from(weight: Tensor<2>) -> Self {
        Self::Dense(weight)
    }
}

impl From<PackedWeight> for Factor {
    fn from(weight: PackedWeight) -> Self {
        Self::Packed(weight)
    }
}
