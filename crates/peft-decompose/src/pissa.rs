//! PiSSA, <https://arxiv.org/abs/2404.02948>: LoRA that starts at the first singular vectors of the weight,
//! `y = x W + bias + scale * ((x A) B - (x A_0) B_0)`, `A_0 = V sqrt(sigma / scale)`, `B_0 = sqrt(sigma / scale) U^T`.
//!
//! where `W^T = U diag(sigma) V^T` is cut after `rank` values, `A [d_in, rank]` and `B [rank, d_out]` start at `A_0` and `B_0`, and
//! `W [d_in, d_out]` stays frozen and whole (see [`crate::relative`]).
//!
//! Folders are written as LoRA of twice the rank. Folders of Hugging Face PEFT with `init_lora_weights = "pissa"`, which hold `A` and `B`
//! alone, are read by decomposing the base again, as PEFT does.

use peft_core::options::as_map;
use peft_core::{AnyAdapter, Method, MethodEntry, PeftError, Site, SiteLayout, Slot, StoredMethod};
use serde_json::{Map, Value};

use crate::relative::RelativeOptions;
use crate::svd::Decomposition;

/// PiSSA with its options.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pissa {
    /// Dropout and scaling.
    pub options: RelativeOptions,
}

/// The entry of PiSSA in a registry of methods.
pub const PISSA: MethodEntry = MethodEntry {
    id: "pissa",
    name: "PiSSA",
    pairs: true,
    alpha: true,
    summary: "LoRA that starts at the first singular vectors of the weight; stored as LoRA",
    paper: "Meng et al. 2024, PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models, \
            arXiv 2404.02948",
    default_options: || as_map(&RelativeOptions::default()),
    from_options: |options| {
        let options = RelativeOptions::from_options(PISSA.id, options)?;
        Ok(Box::new(Pissa { options }))
    },
    recognises: |config| RelativeOptions::describes(config, INIT),
    from_config: |config| {
        let options = RelativeOptions::from_config(PISSA.id, config)?;
        Ok(Box::new(Pissa { options }))
    },
};

/// PEFT's name of this start.
const INIT: &str = "pissa";

impl Method for Pissa {
    fn entry(&self) -> &'static MethodEntry {
        &PISSA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let scale = self.options.scale(slot)?;
        let svd = Decomposition::of(slot)?;
        let (a, b) = svd.pair(0..slot.rank, scale);
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
