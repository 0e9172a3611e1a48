//! How parameters are stepped: one rule for all, and others for groups that have their own.

use burn::module::{ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, Sgd, SgdConfig};

use crate::adamw::AdamW;
use crate::group_options::GroupOptions;
use crate::optimizer_kind::OptimizerKind;
use crate::options::TrainOptions;

/// An optimizer and its settings, without a state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule<'a> {
    options: &'a TrainOptions,
    kind: OptimizerKind,
    weight_decay: f64,
}

impl<'a> Rule<'a> {
    /// The rule of a run.
    pub(crate) fn of_run(options: &'a TrainOptions) -> Self {
        Self {
            options,
            kind: options.optimizer,
            weight_decay: options.weight_decay,
        }
    }

    /// The rule of a group.
    pub(crate) fn of_group(options: &'a TrainOptions, own: &GroupOptions) -> Self {
        Self {
            options,
            kind: own.optimizer.unwrap_or(options.optimizer),
            weight_decay: own.weight_decay.unwrap_or(options.weight_decay),
        }
    }

    /// An optimizer that steps all parameters so.
    pub(crate) fn init(self) -> ModuleOptimizer {
        match self.kind {
            OptimizerKind::AdamW => self.adamw().into(),
            OptimizerKind::Sgd => self.sgd().into(),
        }
    }

    /// Makes an optimizer step these parameters so from now on, without what it knows of them.
    pub(crate) fn apply(self, optimizer: &mut ModuleOptimizer, params: Vec<ParamId>) {
        let before = std::mem::replace(optimizer, self.init());
        let group = ParamGroup::from_ids(params);
        *optimizer = match self.kind {
            OptimizerKind::AdamW => before.with_group(group, self.adamw(), None),
            OptimizerKind::Sgd => before.with_group(group, self.sgd(), None),
        };
    }

    fn adamw(self) -> AdamW {
        AdamW {
            beta1: self.options.beta1 as f32,
            beta2: self.options.beta2 as f32,
            epsilon: self.options.epsilon as f32,
            weight_decay: f64::from(self.weight_decay as f32),
        }
    }

    fn sgd(self) -> Sgd {
        let momentum = MomentumConfig::new()
            .with_momentum(self.options.momentum)
            .with_dampening(0.0);
        let decay = WeightDecayConfig::new(self.weight_decay as f32);
        SgdConfig::new()
            .with_momentum((self.options.momentum > 0.0).then_some(momentum))
            .with_weight_decay((self.weight_decay > 0.0).then_some(decay))
            .build()
    }
}
