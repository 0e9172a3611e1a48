//! Reading an adapter's parameters by the path of their field.

use std::collections::{BTreeMap, HashSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Int, Tensor, TensorData};

use crate::adapter::{AnyAdapter, TensorName};
use crate::file::{HostTensor, StoredDtype};
use crate::names::Layout;
use crate::values::to_file;

/// One parameter of an adapter.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) id: ParamId,
    shape: Vec<usize>,
    values: Vec<f32>,
    stored: StoredDtype,
}

impl Field {
    /// The parameter as a file holds it.
    pub(crate) fn to_file(&self, layout: Layout) -> HostTensor {
        to_file(&self.shape, self.values.clone(), layout).with_stored(self.stored)
    }
}

/// Field path (`a`, `experts.0.a`) to parameter, values in memory orientation as f32.
pub(crate) fn read(adapter: &AnyAdapter) -> BTreeMap<String, Field> {
    struct Reader {
        path: FieldPath,
        fields: BTreeMap<String, Field>,
    }
    impl Reader {
        fn add(&mut self, id: ParamId, data: &TensorData, stored: StoredDtype) {
            let field = Field {
                id,
                shape: data.shape().to_vec(),
                values: data.iter::<f32>().collect(),
                stored,
            };
            self.fields.insert(self.path.joined(), field);
        }
    }
    impl ModuleVisitor for Reader {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.enter(name);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.add(param.id, &peft_kernels::read(param.val()), StoredDtype::F32);
        }
        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            self.add(param.id, &peft_kernels::read(param.val()), StoredDtype::I64);
        }
    }
    let mut reader = Reader {
        path: FieldPath::default(),
        fields: BTreeMap::new(),
    };
    adapter.visit(&mut reader);
    reader.fields
}

/// Field path to id and shape, without reading values.
pub(crate) fn ids(adapter: &AnyAdapter) -> BTreeMap<String, (ParamId, Vec<usize>)> {
    #[derive(Default)]
    struct Reader {
        path: FieldPath,
        fields: BTreeMap<String, (ParamId, Vec<usize>)>,
    }
    impl ModuleVisitor for Reader {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.enter(name);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.lazy_shape().as_slice().to_vec();
            self.fields.insert(self.path.joined(), (param.id, shape));
        }
        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            let shape = param.lazy_shape().as_slice().to_vec();
            self.fields.insert(self.path.joined(), (param.id, shape));
        }
    }
    let mut reader = Reader::default();
    adapter.visit(&mut reader);
    reader.fields
}

/// Ids of the parameters that train.
pub(crate) fn trained_ids(adapter: &AnyAdapter) -> Vec<ParamId> {
    let ids = ids(adapter);
    trained(adapter)
        .filter_map(|tensor| ids.get(&*tensor.field).map(|(id, _)| *id))
        .collect()
}

/// How many numbers train, but for those in `skip`.
pub(crate) fn trained_size(adapter: &AnyAdapter, skip: &HashSet<ParamId>) -> usize {
    let ids = ids(adapter);
    trained(adapter)
        .filter_map(|tensor| ids.get(&*tensor.field))
        .filter(|(id, _)| !skip.contains(id))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum()
}

fn trained(adapter: &AnyAdapter) -> impl Iterator<Item = TensorName> {
    let tensors = adapter.tensors().into_iter();
    tensors.filter(|tensor| tensor.trains)
}

/// Where a traversal of an adapter is.
#[derive(Default)]
struct FieldPath(Vec<String>);

impl FieldPath {
    fn enter(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn joined(&self) -> String {
        self.0.join(".")
    }
}
