//! How many parameters a model has and how many of them train.

use std::collections::HashSet;
use std::fmt;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use serde::Serialize;

use crate::trainable::trains;

/// Parameters of a model; prints as PEFT's `print_trainable_parameters` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ParameterCount {
    /// Parameters that require gradients.
    pub trainable: usize,
    /// All parameters, adapters included.
    pub total: usize,
}

impl ParameterCount {
    /// Trainable share in percent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        100.0 * self.trainable as f64 / self.total as f64
    }
}

impl fmt::Display for ParameterCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "trainable params: {} || all params: {} || trainable%: {:.4}",
            self.trainable,
            self.total,
            self.percent()
        )
    }
}

/// Counts the parameters of a model in training state.
///
/// A parameter id that occurs several times, and every id in `tied` (members of a tie group other than its owner),
/// counts once or not at all: it is one parameter.
pub fn count<M: Module>(model: &M, tied: &HashSet<ParamId>) -> ParameterCount {
    let mut counter = Counter {
        seen: tied.clone(),
        count: ParameterCount {
            trainable: 0,
            total: 0,
        },
    };
    model.visit(&mut counter);
    counter.count
}

struct Counter {
    seen: HashSet<ParamId>,
    count: ParameterCount,
}

impl ModuleVisitor for Counter {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.seen.insert(param.id) {
            return;
        }
        let size = param.lazy_shape().num_elements();
        self.count.total += size;
        if trains(param) {
            self.count.trainable += size;
        }
    }
}
