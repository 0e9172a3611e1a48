//! What the weights of a base take once they are read, and while they are.

use std::collections::{HashMap, HashSet};

use burn::module::{ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use peft_core::{Adaptable, Layout};

/// Bytes of a value in f32.
const F32: u64 = 4;

/// Bytes of a model's parameters, by what the headers of its files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::targets) struct Weights {
    /// All of them.
    pub(super) held: u64,
    /// The most that there is of them while they are read.
    pub(super) reading: u64,
}

impl Weights {
    /// Of a model whose matrices were not read ([`crate::open::Base::sizes_alone`]).
    pub(in crate::targets) fn of<M: Adaptable>(model: &M) -> Self {
        let mut matrices = Matrices::default();
        model.visit_linears(&mut |linear| {
            if let Some(packed) = linear.weight.as_packed() {
                let bytes = packed.bytes() as u64;
                let [d_in, d_out] = packed.dims();
                let values = F32 * d_in as u64 * d_out as u64;
                // A matrix of f32 is turned while it is read, and there twice for a moment.
                let turns = linear.site().kind.layout() == Layout::Transposed;
                let beside = if turns && bytes >= values { values } else { 0 };
                matrices.add(linear.weight.id(), bytes, beside);
            }
        });
        let mut rest = Rest(HashMap::new());
        model.visit(&mut rest);
        let known = &matrices.seen;
        let rest = rest.0.iter().filter(|(id, _)| !known.contains(*id));
        let rest: u64 = rest.map(|(_, bytes)| bytes).sum();
        Self {
            held: matrices.held.saturating_add(rest),
            reading: matrices.most.saturating_add(rest),
        }
    }
}

/// Matrices in the order in which they are read.
#[derive(Default)]
struct Matrices {
    seen: HashSet<ParamId>,
    held: u64,
    most: u64,
}

impl Matrices {
    fn add(&mut self, id: ParamId, bytes: u64, beside: u64) {
        if self.seen.insert(id) {
            self.held = self.held.saturating_add(bytes);
            self.most = self.most.max(self.held.saturating_add(beside));
        }
    }
}

/// Bytes of every parameter in f32.
struct Rest(HashMap<ParamId, u64>);

impl ModuleVisitor for Rest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let bytes = F32 * param.lazy_shape().num_elements() as u64;
        self.0.insert(param.id, bytes);
    }
}
