//! The second host: any Burn module that knows nothing of this crate, run by the effective weights of its layers.
//!
//! Every `Linear` and `Embedding` of the module becomes an [`AdaptedLinear`] beside it, which holds weight, bias and adapters. Whatever
//! works on adapted layers (attaching, folders, several adapters, merging, ties, procedures, sessions) so works here without code of its own. The
//! module itself runs by `W' = W + sum_i w_i (effective_i(W) - W)`, formed once for each forward pass.
//!
//! The cost over the first host: each forward forms `W'` densely (for a low-rank pair `d_in d_out (r + 1)` multiplications and one matrix
//! `[d_in, d_out]` for each adapted layer), and its backward a gradient of that size. Dropout of adapters has no place in it, all rows of a
//! batch go through the same weights, and nobody can observe deltas.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;

use burn::module::{Module, ModuleDisplay, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;

use crate::adaptable::Adaptable;
use crate::error::PeftError;
use crate::linear::AdaptedLinear;
use crate::names::{ParamNames, module_of, param_id};
use crate::own::{Place, by_path};
use peft_format::{Site, SiteKind};

/// A Burn module with adapters on its `Linear` and `Embedding` layers; [`hosted`] makes it.
#[derive(Module, Debug)]
pub struct Hosted<M: Module + ModuleDisplay> {
    /// The module; where its adaptable layers had their parameters, it has empty ones.
    base: M,
    /// Those layers, in the module's order.
    layers: Vec<AdaptedLinear>,
    heads: Vec<String>,
}

/// Takes a module in and names its parameters by their paths, as [`crate::named`] does.
///
/// # Errors
/// [`PeftError::Model`] with every parameter that stands at two places of the module.
pub fn hosted<M: Module + ModuleDisplay>(module: M) -> Result<(Hosted<M>, ParamNames), PeftError> {
    let (module, paths) = by_path(module)?;
    let mut taking = Taking::default();
    let base = module.map(&mut taking);
    let hosted = Hosted {
        base,
        layers: taking.layers,
        heads: Vec::new(),
    };
    Ok((hosted, paths.names))
}

impl<M: Module + ModuleDisplay> Hosted<M> {
    /// The same with output layers at these paths, which the target `all-linear` leaves out.
    #[must_use]
    pub fn with_heads<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.heads = paths.into_iter().map(Into::into).collect();
        self
    }

    /// The module with the weights that its layers and their active adapters amount to now. Gradients of what it computes reach the
    /// adapters; make it anew for each forward pass.
    ///
    /// # Panics
    /// When a layer was given an adapter that has no effective weight; attaching refuses those.
    #[must_use]
    pub fn module(&self) -> M {
        let mut giving = Giving::default();
        for layer in &self.layers {
            giving.take(layer);
        }
        self.base.clone().map(&mut giving)
    }
}

impl<M: Module + ModuleDisplay> Adaptable for Hosted<M> {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        self.layers.iter().for_each(visit);
    }
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        self.layers.iter_mut().for_each(visit);
    }
    fn runs_by_weights(&self) -> bool {
        true
    }
    fn output_heads(&self) -> Vec<String> {
        self.heads.clone()
    }
}

/// The id of what stands in the module for a parameter of that name.
fn stand_in(name: &str) -> ParamId {
    param_id(&format!("{name}#hosted"))
}

/// The parameter as one of a rank that it has.
fn of_rank<const D: usize, const E: usize>(param: Param<Tensor<D>>) -> Param<Tensor<E>> {
    let param: Box<dyn Any> = Box::new(param);
    *param
        .downcast()
        .expect("weights have rank 2 and biases rank 1")
}

/// Takes the parameters of adaptable layers out of a module.
#[derive(Default)]
struct Taking {
    place: Place,
    layers: Vec<AdaptedLinear>,
}

impl Taking {
    fn kind(&self) -> Option<SiteKind> {
        let is_weight = |layer| self.place.is("weight", layer);
        if is_weight("Struct:Linear") {
            return Some(SiteKind::Linear);
        }
        is_weight("Struct:Embedding").then_some(SiteKind::Embedding)
    }
}

impl ModuleMapper for Taking {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.place.exit();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.place.path();
        let layer = module_of(&name);
        let device = param.lazy_device();
        if D == 2
            && let Some(kind) = self.kind()
        {
            let weight: Param<Tensor<2>> = of_rank(param);
            let dims = weight.lazy_shape();
            let site = Site::new(layer, dims[0], dims[1]).with_kind(kind);
            self.layers.push(AdaptedLinear::new(site, weight, None));
        } else if D == 1
            && self.place.is("bias", "Struct:Linear")
            && let Some(last) = self.layers.last_mut()
            && last.site().path == layer
        {
            last.bias = Some(of_rank(param));
        } else {
            return param;
        }
        let empty = Tensor::empty([0; D], &device);
        Param::initialized(stand_in(&name), empty).set_require_grad(false)
    }
}

/// Puts parameters in the places of their stand-ins.
#[derive(Default)]
struct Giving {
    weights: HashMap<ParamId, Param<Tensor<2>>>,
    biases: HashMap<ParamId, Param<Tensor<1>>>,
}

impl Giving {
    fn take(&mut self, layer: &AdaptedLinear) {
        let path = &layer.site().path;
        let adapted = layer.active_adapters().next().is_some();
        let weight = if adapted {
            let effective = layer.effective_weight(layer.weight.val());
            let effective = effective.expect("attaching refuses adapters without effective weight");
            Param::initialized(layer.weight.id(), effective)
        } else {
            layer.weight.clone().into_param()
        };
        self.weights
            .insert(stand_in(&format!("{path}.weight")), weight);
        if let Some(bias) = &layer.bias {
            let bias = if adapted {
                Param::initialized(bias.id, layer.effective_bias(bias.val()))
            } else {
                bias.clone()
            };
            self.biases.insert(stand_in(&format!("{path}.bias")), bias);
        }
    }
}

impl ModuleMapper for Giving {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if let Some(weight) = self.weights.remove(&param.id) {
            return of_rank(weight);
        }
        match self.biases.remove(&param.id) {
            Some(bias) => of_rank(bias),
            None => param,
        }
    }
}
