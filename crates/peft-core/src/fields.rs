//! Reading an adapter's parameters by the path of their field.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

use crate::adapter::AnyAdapter;

/// One parameter of an adapter.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) id: ParamId,
    pub(crate) shape: Vec<usize>,
    values: Vec<f32>,
}

impl Field {
    /// Values in memory orientation, row-major.
    pub(crate) fn values(&self) -> Vec<f32> {
        self.values.clone()
    }
}

/// Field path (`a`, `experts.0.a`) to parameter, values in memory orientation as f32.
pub(crate) fn read(adapter: &AnyAdapter) -> BTreeMap<String, Field> {
    let mut reader = Reader::default();
    adapter.visit(&mut reader);
    reader.fields
}

/// Field path to id and shape, without reading values.
pub(crate) fn ids(adapter: &AnyAdapter) -> BTreeMap<String, (ParamId, Vec<usize>)> {
    let mut reader = IdReader::default();
    adapter.visit(&mut reader);
    reader.fields
}

/// Ids of the parameters that train.
pub(crate) fn trained_ids(adapter: &AnyAdapter) -> Vec<ParamId> {
    let ids = ids(adapter);
    adapter
        .tensors()
        .iter()
        .filter(|tensor| tensor.trains)
        .filter_map(|tensor| ids.get(tensor.field).map(|(id, _)| *id))
        .collect()
}

/// How many numbers train.
pub(crate) fn trained_size(adapter: &AnyAdapter) -> usize {
    let ids = ids(adapter);
    let trained = adapter.tensors().iter().filter(|tensor| tensor.trains);
    trained
        .filter_map(|tensor| ids.get(tensor.field))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum()
}

#[derive(Default)]
struct Reader {
    path: Vec<String>,
    fields: BTreeMap<String, Field>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let field = Field {
            id: param.id,
            shape: tensor.dims().to_vec(),
            values: tensor.into_data().iter::<f32>().collect(),
        };
        self.fields.insert(self.path.join("."), field);
    }
}

#[derive(Default)]
struct IdReader {
    path: Vec<String>,
    fields: BTreeMap<String, (ParamId, Vec<usize>)>,
}

impl ModuleVisitor for IdReader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.lazy_shape().as_slice().to_vec();
        self.fields.insert(self.path.join("."), (param.id, shape));
    }
}

/// The parameter with other values: same id, device, type and trainability.
pub(crate) fn with_data<const D: usize>(
    param: Param<Tensor<D>>,
    data: TensorData,
) -> Param<Tensor<D>> {
    param.map(|old| {
        let tracked = old.is_require_grad();
        let new = Tensor::from_data(data, (&old.device(), old.dtype()));
        if tracked { new.require_grad() } else { new }
    })
}
