//! OLoRA, <https://arxiv.org/abs/2406.01775>: LoRA that starts at an orthonormal basis of the weight,
//! `y = x W + bias + scale * ((x A) B - (x A_0) B_0)`, `B_0 = Q^T`, `A_0 = R^T`.
//!
//! where `W^T = Q R` is cut after `rank` columns of `Q [d_out, ..]` and rows of `R [.., d_in]`, `A [d_in, rank]` and `B [rank, d_out]` start at
//! `A_0` and `B_0`, and `W [d_in, d_out]` stays frozen and whole (see [`crate::relative`]).
//!
//! Folders are written as LoRA of twice the rank. Folders of Hugging Face PEFT with `init_lora_weights = "olora"`, which hold `A` and `B`
//! alone, are read by factoring the base again, as PEFT does.

use peft_core::options::as_map;
use peft_core::{AnyAdapter, Method, MethodEntry, PeftError, Site, SiteLayout, Slot, StoredMethod};
use serde_json::{Map, Value};

use crate::relative::RelativeOptions;
use crate::svd::orthonormal;

/// OLoRA with its options.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Olora {
    /// Dropout and scaling.
    pub options: RelativeOptions,
}

/// The entry of OLoRA in a registry of methods.
pub const OLORA: MethodEntry = MethodEntry {
    id: "olora",
    name: "OLoRA",
    pairs: true,
    alpha: true,
    summary: "LoRA that starts at an orthonormal basis of the weight; stored as LoRA",
    paper: "Büyükakyüz 2024, OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models, arXiv 2406.01775",
    default_options: || as_map(&RelativeOptions::default()),
    from_options: |options| {
        let options = RelativeOptions::from_options(OLORA.id, options)?;
        Ok(Box::new(Olora { options }))
    },
    recognises: |config| RelativeOptions::describes(config, INIT),
    from_config: |config| {
        let options = RelativeOptions::from_config(OLORA.id, config)?;
        Ok(Box::new(Olora { options }))
    },
};

/// PEFT's name of this start.
const INIT: &str = "olora";

impl Method for Olora {
    fn entry(&self) -> &'static MethodEntry {
        &OLORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let scale = self.options.scale(slot)?;
        let (a, b) = orthonormal(slot)?;
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
