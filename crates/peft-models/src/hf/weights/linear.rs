//! Linear layers of a folder: their orientation, and what happens to heads.

use peft_core::{AdaptedLinear, Layout, Site, SiteKind};

use super::{HeadPolicy, WeightReader};
use crate::hf::initial::Start;

/// How a file holds a linear layer.
#[derive(Debug, Clone, Copy)]
struct Stored {
    kind: SiteKind,
    bias: bool,
}

impl Stored {
    /// `torch.nn.Linear` with its bias.
    const USUAL: Self = Self {
        kind: SiteKind::Linear,
        bias: true,
    };
}

impl WeightReader {
    /// The linear layer at `path` with its bias; the file holds `[d_out, d_in]`, memory holds `[d_in, d_out]`.
    pub fn linear(&mut self, path: &str, d_in: usize, d_out: usize) -> AdaptedLinear {
        self.linear_with(path, [d_in, d_out], Stored::USUAL, None)
    }

    /// A linear layer `[d_in, d_out]` whose weight is stored as `kind` says, with or without a bias.
    pub fn linear_of(
        &mut self,
        path: &str,
        shape: [usize; 2],
        kind: SiteKind,
        bias: bool,
    ) -> AdaptedLinear {
        self.linear_with(path, shape, Stored { kind, bias }, None)
    }

    /// A linear layer of a head: it starts afresh when the file lacks it, and under [`HeadPolicy::Resize`] also when
    /// the file holds another shape.
    pub fn head_linear(
        &mut self,
        path: &str,
        d_in: usize,
        d_out: usize,
        policy: HeadPolicy,
    ) -> AdaptedLinear {
        self.linear_with(path, [d_in, d_out], Stored::USUAL, Some(policy))
    }

    /// As [`Self::head_linear`], of shape `[d_in, d_out]` and without a bias.
    pub fn head_linear_of(
        &mut self,
        path: &str,
        shape: [usize; 2],
        kind: SiteKind,
        policy: HeadPolicy,
    ) -> AdaptedLinear {
        let stored = Stored { kind, bias: false };
        self.linear_with(path, shape, stored, Some(policy))
    }

    fn linear_with(
        &mut self,
        path: &str,
        [d_in, d_out]: [usize; 2],
        stored: Stored,
        head: Option<HeadPolicy>,
    ) -> AdaptedLinear {
        let layout = stored.kind.layout();
        let in_file = match layout {
            Layout::Transposed => [d_out, d_in],
            Layout::AsIs => [d_in, d_out],
        };
        let name = format!("{path}.weight");
        let weight = self.values(&name, &in_file, Start::Normal, head);
        let bias_name = format!("{path}.bias");
        let bias = stored
            .bias
            .then(|| self.values(&bias_name, &[d_out], Start::Zeros, head));
        let (d_in, d_out, weight, bias) = match (weight, bias) {
            (Some(weight), None) => (d_in, d_out, weight, None),
            (Some(weight), Some(Some(bias))) => (d_in, d_out, weight, Some(bias)),
            _ => (1, 1, vec![0.0], stored.bias.then(|| vec![0.0])),
        };
        let weight = match layout {
            Layout::Transposed => transposed(&weight, d_out, d_in),
            Layout::AsIs => weight,
        };
        let weight = self.register::<2>(&name, weight, [d_in, d_out], layout);
        let bias = bias.map(|bias| self.register::<1>(&bias_name, bias, [d_out], Layout::AsIs));
        let site = Site::new(path, d_in, d_out).with_kind(stored.kind);
        AdaptedLinear::new(site, weight, bias)
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
