//! Values of parameters by their ids: taken from one model, given to another, or to other parameters of the same.

use std::any::Any;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::trainable::trains;

/// Values of float parameters of any rank, without autodiff: copies of a leaf would be one leaf, and each parameter is to have a gradient
/// of its own.
#[derive(Default)]
pub struct ValuesById(HashMap<ParamId, Box<dyn Any>>);

impl std::fmt::Debug for ValuesById {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ValuesById {
    /// The values of everything that trains in `model`.
    #[must_use]
    pub fn trained<M: Module>(model: &M) -> Self {
        Self::of(model, |_, trains| trains)
    }

    /// The values of the parameters that `wanted` names, which is told the id of each and whether it trains.
    #[must_use]
    pub fn of<M: Module>(model: &M, wanted: impl Fn(ParamId, bool) -> bool) -> Self {
        struct Taker<F> {
            wanted: F,
            values: HashMap<ParamId, Box<dyn Any>>,
        }
        impl<F: Fn(ParamId, bool) -> bool> ModuleVisitor for Taker<F> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if (self.wanted)(param.id, trains(param)) {
                    let value = param.val().without_autodiff();
                    self.values.insert(param.id, Box::new(value));
                }
            }
        }
        let mut taker = Taker {
            wanted,
            values: HashMap::new(),
        };
        model.visit(&mut taker);
        Self(taker.values)
    }

    /// `model`, each parameter of it with the value of the one that `source` names for it, where that is among these, on the parameter's own
    /// device. What trains goes on training.
    #[must_use]
    pub fn give<M: Module>(&self, model: M, source: impl Fn(ParamId) -> Option<ParamId>) -> M {
        struct Giver<'a, F> {
            values: &'a HashMap<ParamId, Box<dyn Any>>,
            source: F,
        }
        impl<F: Fn(ParamId) -> Option<ParamId>> ModuleMapper for Giver<'_, F> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let source = (self.source)(param.id);
                let value = source.and_then(|id| self.values.get(&id)?.downcast_ref::<Tensor<D>>());
                let Some(value) = value.cloned() else {
                    return param;
                };
                param.map(|old| {
                    let value = value.to_device(&old.device());
                    let value = match old.is_autodiff() {
                        true => Tensor::from_inner(value),
                        false => value,
                    };
                    value.set_require_grad(old.is_require_grad())
                })
            }
        }
        model.map(&mut Giver {
            values: &self.0,
            source,
        })
    }
}
