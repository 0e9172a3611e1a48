//! EVA, <https://arxiv.org/abs/2410.07170>: LoRA that starts at what goes into the layers, `y = x W + bias + scale * (dropout(x) A) B`.
//!
//! where the columns of `A [d_in, rank]` start at the directions in which the inputs of the layer vary most, the first right singular vectors
//! of its centred inputs, `B [rank, d_out]` starts at zero, and `W [d_in, d_out]` stays frozen. The ranks of all layers together go where their
//! directions explain the largest share of a layer's variance; a layer that gets none is left out.
//!
//! Inputs are seen by a [survey](peft_core::Survey) of the run's batches (see `eva/survey.rs`); without one the method is LoRA. Files are LoRA's.
//! Deviations: [`EvaOptions::batches`] bounds what PEFT repeats until it converges, and every token of a batch counts that is no padding, also those
//! without a label.

mod survey;

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::TensorData;
use peft_core::lora::{Lora, LoraInit, Scaling};
use peft_core::options::{as_map, check_dropout};
use peft_core::{
    AnyAdapter, AttachedSite, Method, MethodEntry, PeftError, Site, SiteLayout, Slot, StoredMethod,
    Survey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use survey::EvaSurvey;

/// Options of EVA, with the names and defaults of PEFT's `EvaConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaOptions {
    /// Probability that an input of `A` is dropped while training.
    pub dropout: f64,
    /// Factor of the product.
    pub scaling: Scaling,
    /// How many times its rank a layer may get at most; at 1 every layer keeps its own.
    pub rho: f64,
    /// How similar a direction must be to what it was a batch before, as the cosine, to be found.
    pub tau: f64,
    /// Whether each direction is divided by the root of its singular value.
    pub whiten: bool,
    /// Whether alpha follows the rank, so that the factor of the product stays.
    pub adjust_scaling_factors: bool,
    /// How many batches are looked at at most.
    pub batches: usize,
}

impl Default for EvaOptions {
    /// As in PEFT; a hundred batches at most.
    fn default() -> Self {
        Self {
            dropout: 0.0,
            scaling: Scaling::Standard,
            rho: 2.0,
            tau: 0.99,
            whiten: false,
            adjust_scaling_factors: true,
            batches: 100,
        }
    }
}

impl EvaOptions {
    fn check(&self) -> Result<(), PeftError> {
        check_dropout(EVA.id, self.dropout)?;
        let refuse = |option: &str, expected: &str, found: String| {
            Err(PeftError::Option {
                method: EVA.id,
                option: option.into(),
                problem: format!("expected {expected}, found {found}"),
            })
        };
        if !(self.rho >= 1.0 && self.rho.is_finite()) {
            return refuse("rho", "a number from 1", self.rho.to_string());
        }
        if !(0.0..=1.0).contains(&self.tau) {
            return refuse("tau", "a number from 0 to 1", self.tau.to_string());
        }
        if self.batches == 0 {
            return refuse("batches", "at least 1", "0".into());
        }
        Ok(())
    }

    fn lora(&self) -> Lora {
        Lora {
            dropout: self.dropout,
            init: LoraInit::Kaiming,
            scaling: self.scaling,
        }
    }
}

/// EVA with its options.
#[derive(Debug, Clone, Default)]
pub struct Eva {
    /// Dropout, scaling, and how ranks are dealt out.
    pub options: EvaOptions,
    /// `A [d_in, rank]` of each site, once inputs were seen.
    start: Arc<HashMap<String, TensorData>>,
}

impl Eva {
    /// With these options, before anything was seen.
    #[must_use]
    pub fn new(options: EvaOptions) -> Self {
        Self {
            options,
            start: Arc::default(),
        }
    }
}

/// The entry of EVA in a registry of methods.
pub const EVA: MethodEntry = MethodEntry {
    id: "eva",
    name: "EVA",
    pairs: true,
    alpha: true,
    summary: "LoRA that starts at the directions of a layer's inputs, its ranks where they explain most; stored as LoRA",
    paper: "Paischer et al. 2024, One Initialization to Rule them All: Fine-tuning via Explained Variance Adaptation, arXiv 2410.07170",
    default_options: || as_map(&EvaOptions::default()),
    from_options: |options| {
        let options: EvaOptions = MethodEntry::parse(EVA.id, options)?;
        options.check()?;
        Ok(Box::new(Eva::new(options)))
    },
    // What it starts from is in the values: to its readers a folder is LoRA, whatever its `init_lora_weights` says.
    recognises: |_| false,
    from_config: |config| {
        let options = EvaOptions {
            dropout: config.lora_dropout,
            scaling: Scaling::of(config),
            ..EvaOptions::default()
        };
        options.check()?;
        Ok(Box::new(Eva::new(options)))
    },
};

impl Method for Eva {
    fn entry(&self) -> &'static MethodEntry {
        &EVA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let mut adapter = self.options.lora().factors(slot);
        if let Some(a) = self.start.get(&slot.site.path)
            && a.shape().to_vec() == [slot.site.d_in, slot.rank]
        {
            adapter.a = slot.trainable("a", a.clone());
        }
        Ok(AnyAdapter::new(adapter))
    }

    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        self.options.lora().layout(site, rank, alpha)
    }

    fn survey(&self, sites: &[AttachedSite], seed: u64) -> Option<Box<dyn Survey>> {
        Some(Box::new(EvaSurvey::new(&self.options, sites, seed)))
    }

    fn config_fields(&self) -> Map<String, Value> {
        self.options.lora().config_fields()
    }

    fn stored(&self) -> Option<StoredMethod> {
        Some(StoredMethod {
            method: Box::new(self.options.lora()),
            rank_factor: 1,
            alpha_factor: 1.0,
        })
    }

    fn options(&self) -> Map<String, Value> {
        as_map(&self.options)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}
