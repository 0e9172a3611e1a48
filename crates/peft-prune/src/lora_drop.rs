//! LoRA-drop, <https://arxiv.org/abs/2402.07721>: LoRA whose unimportant layers share one pair,
//! `y = x W + bias + scale * (dropout(x) A) B` with `A [d_in, rank]`, `B [rank, d_out]` the layer's own, or those of the layer it shares with.
//!
//! Which layers share is decided beforehand, by a [`crate::Plan`]. The shared pair is one parameter: it gets the sum of its layers'
//! gradients, is counted and saved once, and is merged into each of them.
//!
//! Files are a folder of their own type (`LORA_DROP`) with the shared pair under the first layer's name and the map of the layers in
//! `shared`; `peft convert --to peft` writes the plain LoRA that it is. With an empty map this is LoRA.
//!
//! Deviations from the paper: a group of shared layers is per type and shape (the abstract says "the same LoRA").

use indexmap::IndexMap;
use peft_core::file::PeftConfig;
use peft_core::lora::{Lora, LoraInit, Scaling};
use peft_core::options::{as_map, check_dropout, check_format_version, own_option};
use peft_core::{
    AnyAdapter, Method, MethodEntry, PeftError, Share, Site, SiteKind, SiteLayout, Slot,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What files call the type.
const PEFT_TYPE: &str = "LORA_DROP";
/// The field of files that says who shares with whom.
const SHARED: &str = "shared";

/// LoRA-drop with its options.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoraDrop {
    /// What every layer's adapter is.
    pub lora: Lora,
    /// Path of a layer to the path of the layer whose pair it uses; all others have their own.
    pub shared: IndexMap<String, String>,
}

/// The entry of LoRA-drop in a registry of methods.
pub const LORA_DROP: MethodEntry = MethodEntry {
    id: "lora-drop",
    name: "LoRA-drop",
    pairs: true,
    alpha: true,
    summary: "LoRA where its output matters; all other layers share one pair per type",
    paper: "Zhou et al. 2024, LoRA-drop: Efficient LoRA Parameter Pruning based on Output Evaluation, arXiv 2402.07721",
    default_options: || as_map(&Options::default()),
    from_options: |options| {
        let options: Options = MethodEntry::parse(LORA_DROP.id, options)?;
        check_dropout(LORA_DROP.id, options.dropout)?;
        Ok(Box::new(LoraDrop {
            lora: Lora {
                dropout: options.dropout,
                init: options.init,
                scaling: options.scaling,
            },
            shared: options.shared,
        }))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    dropout: f64,
    init: LoraInit,
    scaling: Scaling,
    shared: IndexMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        let Lora {
            dropout,
            init,
            scaling,
        } = Lora::default();
        Self {
            dropout,
            init,
            scaling,
            shared: IndexMap::new(),
        }
    }
}

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    check_format_version(LORA_DROP.id, config)?;
    check_dropout(LORA_DROP.id, config.lora_dropout)?;
    Ok(Box::new(LoraDrop {
        lora: Lora {
            dropout: config.lora_dropout,
            init: LoraInit::default(),
            scaling: Scaling::of(config),
        },
        shared: own_option(LORA_DROP.id, config, SHARED)?,
    }))
}

impl Method for LoraDrop {
    fn entry(&self) -> &'static MethodEntry {
        &LORA_DROP
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        self.lora.create(slot)
    }

    fn adapts(&self, kind: SiteKind) -> bool {
        self.lora.adapts(kind)
    }

    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        self.lora.layout(site, rank, alpha)
    }

    fn shares(&self, sites: &[&Site]) -> Vec<Share> {
        let owned = sites.iter().filter_map(|site| {
            let owner = self.shared.get(&site.path)?;
            Some((&site.path, owner))
        });
        let both = owned.flat_map(|(site, owner)| {
            ["a", "b"].map(|field| Share {
                site: site.clone(),
                field,
                owner: owner.clone(),
            })
        });
        both.collect()
    }

    fn config_fields(&self) -> Map<String, Value> {
        let fields = json!({
            "peft_type": PEFT_TYPE,
            "format_version": 1,
            "lora_dropout": self.lora.dropout,
            "use_rslora": self.lora.scaling == Scaling::RankStabilized,
            SHARED: self.shared,
        });
        fields.as_object().cloned().unwrap_or_default()
    }

    fn options(&self) -> Map<String, Value> {
        as_map(&Options {
            dropout: self.lora.dropout,
            init: self.lora.init,
            scaling: self.lora.scaling,
            shared: self.shared.clone(),
        })
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}
