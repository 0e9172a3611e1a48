//! The optimizer of a run, by its settings.

use burn::module::{ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamW, AdamWConfig, ModuleOptimizer, Sgd, SgdConfig};

use crate::options::{OptimizerKind, TrainOptions};

impl OptimizerKind {
    /// The optimizer with the settings of a run, without a state.
    #[must_use]
    pub fn init(self, options: &TrainOptions) -> ModuleOptimizer {
        match self {
            Self::AdamW => adamw(options).into(),
            Self::Sgd => sgd(options).into(),
        }
    }

    /// Makes an optimizer of this kind and these settings lose what it knows of some parameters.
    pub fn forget(
        self,
        options: &TrainOptions,
        optimizer: &mut ModuleOptimizer,
        params: Vec<ParamId>,
    ) {
        let before = std::mem::replace(optimizer, self.init(options));
        // A group that is added begins without a state; its settings are those of all.
        let group = ParamGroup::from_ids(params);
        *optimizer = match self {
            Self::AdamW => before.with_group(group, adamw(options), None),
            Self::Sgd => before.with_group(group, sgd(options), None),
        };
    }
}

fn adamw(options: &TrainOptions) -> AdamW {
    AdamWConfig::new()
        .with_beta_1(options.beta1 as f32)
        .with_beta_2(options.beta2 as f32)
        .with_epsilon(options.epsilon as f32)
        .with_weight_decay(options.weight_decay as f32)
        .build()
}

fn sgd(options: &TrainOptions) -> Sgd {
    let momentum = MomentumConfig::new()
        .with_momentum(options.momentum)
        .with_dampening(0.0);
    let decay = WeightDecayConfig::new(options.weight_decay as f32);
    SgdConfig::new()
        .with_momentum((options.momentum > 0.0).then_some(momentum))
        .with_weight_decay((options.weight_decay > 0.0).then_some(decay))
        .build()
}
