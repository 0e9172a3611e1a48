//! MiLoRA, <https://arxiv.org/abs/2406.09044>: LoRA that starts at the last singular vectors of the weight,
//! `y = x W + bias + scale * ((x A) B - (x A_0) B_0)`, `A_0 = V sqrt(sigma / scale)`, `B_0 = sqrt(sigma / scale) U^T`.
//!
//! where `U`, `sigma` and `V` are those of the `rank` smallest singular values of `W^T = U diag(sigma) V^T`, `A [d_in, rank]` and
//! `B [rank, d_out]` start at `A_0` and `B_0`, and `W [d_in, d_out]` stays frozen and whole (see [`crate::relative`]).
//!
//! Folders are written as LoRA of twice the rank. The released code writes a changed base model beside an adapter, which no field tells
//! from plain LoRA; nothing else is read as MiLoRA. (Not the mixture of the same name, arXiv 2410.18035.)

use peft_core::options::as_map;
use peft_core::{AnyAdapter, Method, MethodEntry, PeftError, Site, SiteLayout, Slot, StoredMethod};
use serde_json::{Map, Value};

use crate::relative::RelativeOptions;
use crate::svd::Decomposition;

/// MiLoRA with its options.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Milora {
    /// Dropout and scaling.
    pub options: RelativeOptions,
}

/// The entry of MiLoRA in a registry of methods.
pub const MILORA: MethodEntry = MethodEntry {
    id: "milora",
    name: "MiLoRA",
    pairs: true,
    alpha: true,
    summary: "LoRA that starts at the last singular vectors of the weight; stored as LoRA",
    paper: "Wang et al. 2024, MiLoRA: Harnessing Minor Singular Components for Parameter-Efficient LLM Finetuning, arXiv 2406.09044",
    default_options: || as_map(&RelativeOptions::default()),
    from_options: |options| {
        let options = RelativeOptions::from_options(MILORA.id, options)?;
        Ok(Box::new(Milora { options }))
    },
    recognises: |_| false,
    from_config: |config| {
        let options = RelativeOptions::from_config(MILORA.id, config)?;
        Ok(Box::new(Milora { options }))
    },
};

/// The name of this start; PEFT has none.
const INIT: &str = "milora";

impl Method for Milora {
    fn entry(&self) -> &'static MethodEntry {
        &MILORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let scale = self.options.scale(slot)?;
        let svd = Decomposition::of(slot)?;
        let count = svd.values().len();
        let (a, b) = svd.pair(count - slot.rank..count, scale);
        Ok(self.options.adapter(slot, scale, a, b))
    }

    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        self.options.layout(site, rank, alpha)
    }

    fn config_fields(&self) -> Map<String, Value> {
        self.options.config_fields(INIT)
    }

    fn stored(&self) -> Option<StoredMethod> {
        Some(self.options.stored())
    }

    fn options(&self) -> Map<String, Value> {
        as_map(&self.options)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}
