//! Which parameters train, and under which names.

use std::collections::{HashMap, HashSet};

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor};

use crate::adaptable::Adaptable;
use crate::adapter::{FactorPair, cast};
use crate::fields;
use crate::names::ParamNames;

/// Whether a parameter requires gradients. Nothing does on a device without autodiff, so that a value that does not exist yet is not made to
/// answer this: a packed weight is not unpacked.
#[must_use]
pub fn trains<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    (param.is_initialized() || param.lazy_device().is_autodiff()) && param.is_require_grad()
}

/// One parameter that requires gradients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainableParam {
    /// Burn's id, which gradients and optimizer states are keyed by.
    pub id: ParamId,
    /// Name in files, for example `encoder.layer.0.attention.self.query.lora_A.weight`.
    pub name: String,
    /// Shape in memory.
    pub shape: Vec<usize>,
}

/// Every parameter of a model that trains, and the low-rank pairs among them.
#[derive(Debug, Clone, Default)]
pub struct Trainable {
    /// In the order of the model's traversal.
    pub params: Vec<TrainableParam>,
    /// Pairs whose two factors both train.
    pub pairs: Vec<FactorPair>,
}

impl Trainable {
    /// Lists what trains in `model`, which must be in training state (built on, or moved to, an autodiff device).
    pub fn of<M: Adaptable>(model: &M, names: &ParamNames) -> Self {
        let mut lister = Lister::default();
        model.visit(&mut lister);
        let mut adapter_names = HashMap::new();
        let mut pairs = Vec::new();
        model.visit_linears(&mut |linear| {
            for (_, adapter, _) in linear.active_adapters() {
                let ids = fields::ids(adapter);
                for tensor in adapter.tensors() {
                    if let Some((id, _)) = ids.get(&*tensor.field) {
                        let key = linear.key_of(&tensor);
                        adapter_names.insert(*id, key.to_string());
                    }
                }
                pairs.extend(adapter.pairs());
            }
        });
        let params: Vec<TrainableParam> = lister
            .found
            .into_iter()
            .map(|(id, shape)| TrainableParam {
                name: names
                    .get(id)
                    .map(|(name, _)| name.to_owned())
                    .or_else(|| adapter_names.get(&id).cloned())
                    .unwrap_or_else(|| id.to_string()),
                id,
                shape,
            })
            .collect();
        let ids: HashSet<ParamId> = params.iter().map(|param| param.id).collect();
        pairs.retain(|pair| ids.contains(&pair.a) && ids.contains(&pair.b));
        Self { params, pairs }
    }
}

#[derive(Default)]
struct Lister {
    found: Vec<(ParamId, Vec<usize>)>,
}

impl ModuleVisitor for Lister {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if trains(param) {
            self.found
                .push((param.id, param.lazy_shape().as_slice().to_vec()));
        }
    }
}

/// Makes exactly the parameters in `ids` require gradients and freezes all others.
///
/// What trains is turned to f32: steps of half precision round to nothing, and the floor of AdamW's denominator is zero in f16. A
/// `BatchNorm` that does not train keeps its running statistics and normalizes by them: they belong to the base, which no folder holds.
pub fn mark_trainable<M: Module>(model: M, ids: &HashSet<ParamId>) -> M {
    model.map(&mut Marker {
        ids,
        trains: false,
        container: String::new(),
    })
}

struct Marker<'a> {
    ids: &'a HashSet<ParamId>,
    /// Whether the last parameter trains.
    trains: bool,
    /// What was entered last.
    container: String,
}

impl ModuleMapper for Marker<'_> {
    fn enter_module(&mut self, _name: &str, container: &str) {
        container.clone_into(&mut self.container);
    }

    /// Burn's `BatchNorm` has its flag after the parameters that scale.
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        match self.container == "Struct:BatchNorm" && !self.trains {
            true => flag.with_value(false),
            false => flag,
        }
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trains = self.ids.contains(&param.id);
        self.trains = trains;
        let is_half = || matches!(param.val().dtype(), DType::F16 | DType::BF16);
        let param = match trains && is_half() {
            true => param.map(|value| cast(value.detach(), DType::F32)),
            false => param,
        };
        param.set_require_grad(trains)
    }
}
