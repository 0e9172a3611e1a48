//! What trains in a prepared model: how it is saved and restored, and which of its parameters are one.

use peft_core::Adaptable;
use peft_core::tie::TieGroups;
use peft_train::{Trained, TrainedAdapter, TrainedWeights};

use super::ADAPTER;
use crate::Result;

/// What trains in a prepared model.
pub(super) enum Part {
    Adapter(Box<TrainedAdapter>),
    Weights(TrainedWeights),
}

impl Part {
    /// How it is saved and restored.
    pub(super) fn trained<M: Adaptable>(&self) -> &dyn Trained<M> {
        match self {
            Self::Adapter(adapter) => adapter.as_ref(),
            Self::Weights(weights) => weights,
        }
    }

    /// Parameters of it that are one.
    pub(super) fn ties<M: Adaptable>(&self, model: &M) -> Result<TieGroups> {
        Ok(match self {
            Self::Adapter(adapter) => TieGroups::of(model, ADAPTER, adapter.spec.method.as_ref())?,
            Self::Weights(_) => TieGroups::default(),
        })
    }
}
