//! Preconditioners: what gradients of low-rank pairs become by the values of the pairs, right before the optimizer takes them.
//!
//! A step takes the gradients of each of the [`rounds`] out, preconditions them by the [`Factors`] of the model as it is by then, and
//! gives them to the optimizer.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::adapter::FactorPair;
use crate::error::PeftError;
use crate::trainable::{Trainable, TrainableParam};

/// Changes the gradients of low-rank pairs by their values.
pub trait Preconditioner: Debug + Send {
    /// Name in messages.
    fn name(&self) -> &'static str;

    /// Whether the parameters `a` of all pairs are stepped before the gradients of `b` are changed, which then sees the new `a`.
    fn steps_a_first(&self) -> bool {
        false
    }

    /// Changes `grads` in place; parameters without a gradient in it are left out.
    ///
    /// # Errors
    /// [`PeftError::Precondition`] when the values of a pair are of no use; the step is then not taken.
    fn precondition(
        &self,
        grads: &mut GradientsParams,
        pairs: &[FactorPair],
        factors: &Factors,
    ) -> Result<(), PeftError>;
}

/// The parameters that are stepped together, in the order of the rounds: preconditioned by the values that the rounds before have left.
#[must_use]
pub fn rounds<'a>(
    trainable: &'a Trainable,
    preconditioner: Option<&dyn Preconditioner>,
) -> Vec<Vec<&'a TrainableParam>> {
    if !preconditioner.is_some_and(Preconditioner::steps_a_first) {
        return vec![trainable.params.iter().collect()];
    }
    let second: HashSet<ParamId> = trainable.pairs.iter().map(|pair| pair.b).collect();
    let (second, first) = trainable
        .params
        .iter()
        .partition(|param| second.contains(&param.id));
    vec![first, second]
}

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
