//! ShareLoRA, <https://arxiv.org/abs/2406.10785>: LoRA whose layers of one type have a factor in common,
//! `y = x W + bias + scale * (dropout(x) A) B`, with `A [d_in, rank]`, `B [rank, d_out]`.
//!
//! With `share` `a` the layers of a type have one `A` and each its own `B`; with `b` the reverse; with `ab` one pair. The shared factor is
//! one parameter: it gets the sum of its layers' gradients, is counted and saved once, under the first layer's name.
//!
//! Files are a folder of their own type (`SHARE_LORA`); `peft convert --to peft` writes the plain LoRA that it is.
//!
//! Deviation from the paper: a type is the path with every number left open, and the size, so that layers of one name at different places
//! of a block do not share.

use std::collections::HashMap;

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::file::PeftConfig;
use peft_core::lora::{Lora, LoraAdapter, LoraInit, Scaling};
use peft_core::options::{as_map, own_option};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Share, Site,
    SiteLayout, Slot, TensorName,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::options::{Basics, refuse_orthogonal};

/// What files call the type.
const PEFT_TYPE: &str = "SHARE_LORA";
/// The field of files that says what is shared.
const SHARE: &str = "share";

/// Which factors the layers of one type have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shared {
    /// `A`; each layer has its own `B`.
    #[default]
    A,
    /// `B`; each layer has its own `A`.
    B,
    /// Both.
    Ab,
}

impl Shared {
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::A => &["lora.a"],
            Self::B => &["lora.b"],
            Self::Ab => &["lora.a", "lora.b"],
        }
    }
}

/// ShareLoRA with its options.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShareLora {
    /// What every layer's adapter is.
    pub lora: Lora,
    /// What the layers of a type share.
    pub share: Shared,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    dropout: f64,
    init: LoraInit,
    scaling: Scaling,
    share: Shared,
}

impl Default for Options {
    fn default() -> Self {
        ShareLora::default().into()
    }
}

impl From<ShareLora> for Options {
    fn from(ShareLora { lora, share }: ShareLora) -> Self {
        Self {
            dropout: lora.dropout,
            init: lora.init,
            scaling: lora.scaling,
            share,
        }
    }
}

/// ShareLoRA's entry in a registry of methods.
pub const SHARE_LORA: MethodEntry = MethodEntry {
    id: "sharelora",
    name: "ShareLoRA",
    pairs: false,
    alpha: true,
    summary: "LoRA whose layers of one type have a factor in common",
    paper: "Song et al. 2024, ShareLoRA: Parameter Efficient and Robust Large Language Model Fine-tuning via Shared Low-Rank Adaptation, arXiv 2406.10785",
    default_options: || as_map(&Options::default()),
    from_options: |options| {
        let options: Options = MethodEntry::parse(SHARE_LORA.id, options)?;
        peft_core::options::check_dropout(SHARE_LORA.id, options.dropout)?;
        // A factor that is another layer's is not orthogonal to this layer's own.
        refuse_orthogonal(SHARE_LORA.id, options.init)?;
        Ok(Box::new(ShareLora {
            lora: Lora {
                dropout: options.dropout,
                init: options.init,
                scaling: options.scaling,
            },
            share: options.share,
        }))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    let Basics { dropout, scaling } = Basics::of(SHARE_LORA.id, config)?;
    Ok(Box::new(ShareLora {
        lora: Lora {
            dropout,
            init: LoraInit::default(),
            scaling,
        },
        share: own_option(SHARE_LORA.id, config, SHARE)?,
    }))
}

const TENSORS: [TensorName; 2] = [
    TensorName::trained("lora.a", "lora_A.weight", Layout::Transposed),
    TensorName::trained("lora.b", "lora_B.weight", Layout::Transposed),
];

impl Method for ShareLora {
    fn entry(&self) -> &'static MethodEntry {
        &SHARE_LORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let lora = self.lora.factors(slot);
        Ok(AnyAdapter::new(ShareLoraAdapter { lora }))
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        let [a, b] = TENSORS;
        SiteLayout::default()
            .with(a, [site.d_in, rank])
            .with(b, [rank, site.d_out])
    }

    fn shares(&self, sites: &[&Site]) -> Vec<Share> {
        let mut owners: HashMap<(String, usize, usize), &str> = HashMap::new();
        let mut shares = Vec::new();
        for site in sites {
            let kind = (Site::module_type(&site.path), site.d_in, site.d_out);
            let owner = *owners.entry(kind).or_insert(&site.path);
            if owner != site.path {
                shares.extend(self.share.fields().iter().map(|field| Share {
                    site: site.path.clone(),
                    field,
                    owner: owner.to_owned(),
                }));
            }
        }
        shares
    }

    fn config_fields(&self) -> Map<String, Value> {
        let own = as_map(&serde_json::json!({ SHARE: self.share }));
        let Lora {
            dropout, scaling, ..
        } = self.lora;
        Basics { dropout, scaling }.fields(PEFT_TYPE, own)
    }

    fn options(&self) -> Map<String, Value> {
        as_map(&Options::from(self.clone()))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// A LoRA of whose factors one is another layer's too, so that the two are no pair that trains by itself.
#[derive(Module, Debug)]
pub struct ShareLoraAdapter {
    /// The two factors.
    pub lora: LoraAdapter,
}

impl Adapter for ShareLoraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        TENSORS.to_vec()
    }

    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        self.lora.delta(x, product, base, pass)
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        self.lora.forward(x, base, pass)
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        self.lora.effective_weight(weight)
    }

    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        self.lora.low_rank()
    }
}
