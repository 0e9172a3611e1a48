//! The values of low-rank pairs, by which procedures condition gradients.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::adapter::FactorPair;

/// The values of the parameters of low-rank pairs, without autodiff.
#[derive(Debug, Default)]
pub struct Factors {
    wanted: HashSet<ParamId>,
    values: HashMap<ParamId, Tensor<2>>,
}

impl Factors {
    /// The values that the pairs have in `model`.
    #[must_use]
    pub fn of<M: Module>(model: &M, pairs: &[FactorPair]) -> Self {
        let mut factors = Self {
            wanted: pairs.iter().flat_map(|pair| [pair.a, pair.b]).collect(),
            values: HashMap::new(),
        };
        model.visit(&mut factors);
        factors
    }

    /// The value of one parameter.
    #[must_use]
    pub fn get(&self, id: ParamId) -> Option<Tensor<2>> {
        self.values.get(&id).cloned()
    }
}

impl ModuleVisitor for Factors {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.wanted.contains(&param.id) {
            let value = param.val().without_autodiff();
            let dims = value.dims();
            assert_eq!(D, 2, "parameters of pairs are matrices");
            let value = value.reshape([dims[0], dims[1]]);
            self.values.insert(param.id, value);
        }
    }
}
