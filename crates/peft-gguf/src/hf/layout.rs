//! What llama.cpp's converter did to the values of a tensor, undone and done.

use super::{Architecture, names};

/// How the values of a file's tensor stand to those of transformers.
///
/// Shapes are `[rows, columns]` or `[rows]` (biases and norms).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// The same.
    Same,
    /// The rows of queries and keys of `llama`, `granite` and `smollm3` in the order of the original rotary embedding, which turns neighbours, while transformers
    /// turn the first half of a head with the second. Of a head of `d` rows, row `i * d/2 + j` of transformers (`i` is 0 or 1,
    /// `j < d/2`) is row `2 * j + i` of the file.
    Rotary {
        /// The number of heads that the rows belong to: of keys, those of keys.
        heads: u64,
    },
    /// The transposed matrix: GPT-2's linear layers are `[d_in, d_out]` in transformers and `[d_out, d_in]` in files.
    Transposed,
    /// One more than the value of transformers: Gemma's norms multiply by `1 + weight`, and files have that sum.
    PlusOne,
}

/// A shape that the layout cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shape {shape:?} must be {expected}")]
pub struct LayoutError {
    /// The shape, outermost dimension first.
    pub shape: Vec<u64>,
    /// What it should be.
    pub expected: &'static str,
}

impl Layout {
    /// The layout of a file's tensor in a model of so many heads of queries and of keys.
    #[must_use]
    pub fn of(architecture: Architecture, name: &str, heads: u64, kv_heads: u64) -> Self {
        let Some((layer, kind)) = names::layer_of(name) else {
            return Self::Same;
        };
        match (architecture, layer, kind) {
            (
                Architecture::Llama | Architecture::Granite | Architecture::SmolLm3,
                "attn_q" | "attn_k",
                _,
            ) => Self::Rotary {
                heads: if layer == "attn_q" { heads } else { kv_heads },
            },
            (Architecture::Gpt2, "attn_qkv" | "attn_output" | "ffn_up" | "ffn_down", "weight") => {
                Self::Transposed
            }
            (Architecture::Gemma | Architecture::Gemma2 | Architecture::Gemma3, norm, "weight")
                if norm.ends_with("norm") =>
            {
                Self::PlusOne
            }
            _ => Self::Same,
        }
    }

    /// The shape that the tensor has on the other side; both ways are the same.
    #[must_use]
    pub fn shape(self, shape: &[u64]) -> Vec<u64> {
        match self {
            Self::Transposed => shape.iter().rev().copied().collect(),
            _ => shape.to_owned(),
        }
    }

    /// Where rows come from: row `i` of transformers' tensor is row `order[i]` of the file's, so that packed rows can be used as they lie.
    /// `None` where rows are in place, and where not rows but values move ([`Layout::Transposed`]).
    ///
    /// # Errors
    ///
    /// [`LayoutError`] where the rows are not those of so many heads of an even width, or what is transposed is no matrix.
    pub fn row_order(self, shape: &[u64]) -> Result<Option<Vec<u64>>, LayoutError> {
        self.check(shape)?;
        let (Self::Rotary { heads }, Some(rows)) = (self, shape.first()) else {
            return Ok(None);
        };
        let (width, half) = (rows / heads, rows / heads / 2);
        let row = |at: u64| at - at % width + 2 * (at % half) + (at % width) / half;
        Ok(Some((0..*rows).map(row).collect()))
    }

    /// Whether a tensor of the shape can have this layout: whole heads of an even width, or a matrix.
    pub(super) fn check(self, shape: &[u64]) -> Result<(), LayoutError> {
        let error = |expected| LayoutError {
            shape: shape.to_owned(),
            expected,
        };
        match self {
            Self::Same | Self::PlusOne => Ok(()),
            Self::Transposed if shape.len() == 2 => Ok(()),
            Self::Transposed => Err(error("a matrix")),
            Self::Rotary { heads } => {
                let rows = shape.first().copied().unwrap_or(0);
                let width = rows.checked_div(heads).unwrap_or(0);
                let whole = width > 0 && rows.is_multiple_of(heads) && width.is_multiple_of(2);
                whole
                    .then_some(())
                    .ok_or_else(|| error("rows of heads of an even width"))
            }
        }
    }

    /// The values as transformers have them, of those of a file.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] where the values are not as many as the shape of the file has, or it is not one of this layout.
    pub fn to_hf(self, values: Vec<f32>, shape: &[u64]) -> Result<Vec<f32>, LayoutError> {
        self.moved(values, shape, Way::ToHf)
    }

    /// The values as a file has them, of those of transformers.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] where the values are not as many as the shape in transformers has, or it is not one of this layout.
    pub fn to_gguf(self, values: Vec<f32>, shape: &[u64]) -> Result<Vec<f32>, LayoutError> {
        self.moved(values, shape, Way::ToGguf)
    }

    fn moved(self, mut values: Vec<f32>, shape: &[u64], way: Way) -> Result<Vec<f32>, LayoutError> {
        self.check(shape)?;
        let count = (shape.iter()).try_fold(1_u64, |product, size| product.checked_mul(*size));
        if count != Some(values.len() as u64) {
            return Err(LayoutError {
                shape: shape.to_owned(),
                expected: "that of the values that were given",
            });
        }
        match self {
            Self::Same => {}
            Self::PlusOne => {
                let step = match way {
                    Way::ToHf => -1.0,
                    Way::ToGguf => 1.0,
                };
                values.iter_mut().for_each(|value| *value += step);
            }
            Self::Transposed => {
                let columns = shape.last().copied().unwrap_or(0);
                values = transposed(&values, columns as usize);
            }
            Self::Rotary { .. } => {
                if let Some(order) = self.row_order(shape)? {
                    values = permuted(&values, &order, way);
                }
            }
        }
        Ok(values)
    }
}

#[derive(Clone, Copy)]
enum Way {
    ToHf,
    ToGguf,
}

fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| values.iter().skip(column).step_by(columns).copied())
        .collect()
}

/// The rows in their other order. There are as many rows as the order has.
fn permuted(values: &[f32], order: &[u64], way: Way) -> Vec<f32> {
    let mut moved = vec![0.0; values.len()];
    let columns = values.len() / order.len();
    if columns == 0 {
        return moved;
    }
    let hf = |at: usize| at * columns..(at + 1) * columns;
    for (at, file) in order.iter().enumerate() {
        let (at, file) = (hf(at), hf(*file as usize));
        match way {
            Way::ToHf => moved[at].copy_from_slice(&values[file]),
            Way::ToGguf => moved[file].copy_from_slice(&values[at]),
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(count: u16) -> Vec<f32> {
        (0..count).map(f32::from).collect()
    }

    #[test]
    fn rows_of_heads_are_woven() {
        // What numpy has of `arange(8).reshape(2, 2, 2).swapaxes(1, 2).ravel()`.
        let layout = Layout::Rotary { heads: 2 };
        let file = layout.to_gguf(counted(8), &[8]).unwrap();
        assert_eq!(file, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        let one = Layout::Rotary { heads: 1 };
        let file = one.to_gguf(counted(12), &[6, 2]).unwrap();
        assert_eq!(
            file,
            [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 10.0, 11.0]
        );
        assert_eq!(one.row_order(&[6, 2]).unwrap().unwrap(), [0, 2, 4, 1, 3, 5]);
    }

    #[test]
    fn both_ways_undo_each_other() {
        for (layout, shape) in [
            (Layout::Same, &[6, 4][..]),
            (Layout::Rotary { heads: 3 }, &[12, 2]),
            (Layout::Rotary { heads: 2 }, &[24]),
            (Layout::Transposed, &[6, 4]),
            (Layout::PlusOne, &[24]),
        ] {
            let file = layout.to_gguf(counted(24), shape).unwrap();
            let back = layout.to_hf(file, &layout.shape(shape)).unwrap();
            assert_eq!(back, counted(24), "{layout:?}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        for (layout, shape) in [
            (Layout::Same, &[5, 5][..]),
            (Layout::Same, &[u64::MAX, u64::MAX]),
            (Layout::Rotary { heads: 8 }, &[24]),
            (Layout::Rotary { heads: 5 }, &[24]),
            (Layout::Rotary { heads: 0 }, &[24]),
            (Layout::Rotary { heads: u64::MAX }, &[24]),
            (Layout::Transposed, &[24]),
        ] {
            assert!(layout.to_hf(counted(24), shape).is_err(), "{layout:?}");
        }
        assert!(Layout::Rotary { heads: 1 }.to_hf(vec![], &[0, 2]).is_err());
        assert!(Layout::Rotary { heads: 1 }.to_hf(vec![], &[2, 0]).is_ok());
        assert!(Layout::Transposed.to_hf(vec![], &[2, 0]).is_ok());
        assert!(Layout::Transposed.to_hf(vec![], &[0, 2]).is_ok());
    }
}
