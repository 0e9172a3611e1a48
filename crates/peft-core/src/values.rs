//! Parameters of a model by name and by id, between memory and the orientation of files.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Int, Tensor, TensorData};

use crate::error::PeftError;
use crate::file::{HostTensor, StoredDtype};
use crate::names::{Layout, ParamNames, param_id};

/// Base parameters that `keep` selects, under their file names and in file orientation.
pub fn named_tensors<M: Module>(
    model: &M,
    names: &ParamNames,
    keep: impl Fn(ParamId) -> bool,
) -> BTreeMap<String, HostTensor> {
    struct Collect<'a, F> {
        names: &'a ParamNames,
        keep: F,
        found: BTreeMap<String, HostTensor>,
    }
    impl<F: Fn(ParamId) -> bool> ModuleVisitor for Collect<'_, F> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if !(self.keep)(param.id) {
                return;
            }
            if let Some((name, layout)) = self.names.get(param.id) {
                let tensor = param.base();
                let shape = tensor.dims().to_vec();
                let values = peft_kernels::read(tensor).iter::<f32>().collect();
                self.found
                    .insert(name.to_owned(), to_file(&shape, values, layout));
            }
        }
    }
    let mut collect = Collect {
        names,
        keep,
        found: BTreeMap::new(),
    };
    model.visit(&mut collect);
    collect.found
}

/// Replaces parameters by id with values in memory orientation; lengths must agree. Integers are rounded towards zero.
pub fn set_values<M: Module>(model: M, values: BTreeMap<ParamId, Vec<f32>>) -> M {
    struct Set(BTreeMap<ParamId, Vec<f32>>);
    impl ModuleMapper for Set {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.0.remove(&param.id) {
                Some(values) => {
                    let data = TensorData::new(values, param.lazy_shape());
                    param.map(|old| {
                        let new = Tensor::from_data(data, (&old.device(), old.dtype()));
                        if old.is_require_grad() {
                            new.require_grad()
                        } else {
                            new
                        }
                    })
                }
                None => param,
            }
        }
        fn map_int<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Int>>,
        ) -> Param<Tensor<D, Int>> {
            match self.0.remove(&param.id) {
                Some(values) => {
                    let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
                    let data = TensorData::new(values, param.lazy_shape());
                    param.map(|old| Tensor::from_data(data, (&old.device(), old.dtype())))
                }
                None => param,
            }
        }
    }
    model.map(&mut Set(values))
}

/// Replaces base parameters by file name with values in file orientation.
///
/// # Errors
/// [`PeftError::Mismatch`] with every tensor that the model lacks or that has another shape there.
pub fn set_named<M: Module>(
    model: M,
    names: &ParamNames,
    tensors: &BTreeMap<String, HostTensor>,
) -> Result<M, PeftError> {
    let shapes = shapes_of(&model);
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, tensor) in tensors {
        let id = param_id(name);
        match (names.get(id), shapes.get(&id)) {
            (Some((_, layout)), Some(shape)) if file_shape(shape, layout) == tensor.shape => {
                values.insert(id, from_file(tensor, layout));
            }
            (Some((_, layout)), Some(shape)) => {
                let expected = file_shape(shape, layout);
                problems.push(format!(
                    "`{name}`: expected {expected:?}, found {:?}",
                    tensor.shape
                ));
            }
            _ => problems.push(format!("`{name}`: the model has no such parameter")),
        }
    }
    if problems.is_empty() {
        return Ok(set_values(model, values));
    }
    Err(PeftError::Mismatch {
        adapter: "trained weights".into(),
        problems,
    })
}

/// Shape in memory of every float parameter.
pub(crate) fn shapes_of<M: Module>(model: &M) -> HashMap<ParamId, Vec<usize>> {
    struct Shapes(HashMap<ParamId, Vec<usize>>);
    impl ModuleVisitor for Shapes {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0
                .insert(param.id, param.lazy_shape().as_slice().to_vec());
        }
    }
    let mut shapes = Shapes(HashMap::new());
    model.visit(&mut shapes);
    shapes.0
}

pub(crate) fn file_shape(shape: &[usize], layout: Layout) -> Vec<usize> {
    match layout {
        Layout::AsIs => shape.to_vec(),
        Layout::Transposed => shape.iter().rev().copied().collect(),
    }
}

pub(crate) fn to_file(shape: &[usize], values: Vec<f32>, layout: Layout) -> HostTensor {
    let data = match layout {
        Layout::AsIs => values,
        Layout::Transposed => transpose(&values, shape[0], shape[1]),
    };
    HostTensor {
        shape: file_shape(shape, layout),
        data,
        stored: StoredDtype::F32,
    }
}

pub(crate) fn from_file(tensor: &HostTensor, layout: Layout) -> Vec<f32> {
    match layout {
        Layout::AsIs => tensor.data.clone(),
        Layout::Transposed => transpose(&tensor.data, tensor.shape[0], tensor.shape[1]),
    }
}

/// Row-major `[rows, columns]` to row-major `[columns, rows]`.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| values[row * columns + column]))
        .collect()
}
