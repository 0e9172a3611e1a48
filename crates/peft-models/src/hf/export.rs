//! From a Burn module back to tensors in Hugging Face names and orientation.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use peft_core::{Layout, ParamNames};

use super::weights::transposed;

/// A shape and the values row by row.
pub type ShapedValues = (Vec<usize>, Vec<f32>);

/// Tensors on the host by Hugging Face name, in Hugging Face orientation.
pub type HostTensors = BTreeMap<String, ShapedValues>;

/// Every parameter of `module` that `names` knows, on the host; adapters are not among them.
#[must_use]
pub fn export<M: Module>(module: &M, names: &ParamNames) -> HostTensors {
    let mut exporter = Exporter {
        names,
        tensors: HostTensors::new(),
    };
    module.visit(&mut exporter);
    exporter.tensors
}

struct Exporter<'a> {
    names: &'a ParamNames,
    tensors: HostTensors,
}

impl ModuleVisitor for Exporter<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some((name, layout)) = self.names.get(param.id) else {
            return;
        };
        let mut shape = param.val().dims().to_vec();
        let mut values: Vec<f32> = param.val().into_data().iter::<f32>().collect();
        if layout == Layout::Transposed && shape.len() == 2 {
            values = transposed(&values, shape[0], shape[1]);
            shape.reverse();
        }
        self.tensors.insert(name.to_owned(), (shape, values));
    }
}
