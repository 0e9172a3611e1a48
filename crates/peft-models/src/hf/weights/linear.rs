//! Linear layers of a folder: their orientation, and what happens to heads.

use peft_core::{AdaptedLinear, Layout, Site, SiteKind};

use super::matrix::{Matrix, Role};
use super::{HeadPolicy, WeightReader};
use crate::hf::initial::Start;

/// How a file holds a linear layer.
#[derive(Debug, Clone, Copy)]
struct Stored {
    kind: SiteKind,
    bias: bool,
    role: Role,
}

impl Stored {
    /// `torch.nn.Linear` with its bias.
    const USUAL: Self = Self {
        kind: SiteKind::Linear,
        bias: true,
        role: Role::Layer,
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
        let role = Role::Layer;
        self.linear_with(path, shape, Stored { kind, bias, role }, None)
    }

    /// The output layer `[d_in, d_out]` of a language model, without a bias.
    pub fn output_layer(&mut self, path: &str, shape: [usize; 2]) -> AdaptedLinear {
        let stored = Stored {
            kind: SiteKind::Linear,
            bias: false,
            role: Role::Table,
        };
        self.linear_with(path, shape, stored, None)
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
        let stored = Stored {
            kind,
            bias: false,
            role: Role::Layer,
        };
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
        let weight = self.matrix(&name, in_file, stored.role, head);
        let bias_name = format!("{path}.bias");
        let bias = stored
            .bias
            .then(|| self.values(&bias_name, &[d_out], Start::Zeros, head));
        let (d_in, d_out, weight, bias) = match (weight, bias) {
            (Some(weight), None) => (d_in, d_out, weight, None),
            (Some(weight), Some(Some(bias))) => (d_in, d_out, weight, Some(bias)),
            _ => (1, 1, Matrix::ZERO, stored.bias.then(|| vec![0.0])),
        };
        let weight = self.weight(&name, weight, [d_in, d_out], layout);
        let bias = bias.map(|bias| self.register::<1>(&bias_name, bias, [d_out], Layout::AsIs));
        let site = Site::new(path, d_in, d_out).with_kind(stored.kind);
        AdaptedLinear::new(site, weight, bias)
    }
}
