//! ResLoRA, <https://arxiv.org/abs/2402.18039>, in its input form: the adapter of a layer sees its input and that of the layer of the same
//! type in the block before, `y_n = x_n W_n + bias_n + scale * (dropout(x_n + x_{n-1}) A_n) B_n`, so that gradients reach early layers by a short way.
//!
//! `A [d_in, rank]` starts Kaiming-uniform and `B [rank, d_out]` at zero. The first layer of a type, and one whose predecessor has
//! another size, takes its own input twice, as in the reference implementation.
//!
//! The update depends on two inputs, so that no merged weight does the same, and the second host, which runs by weights, refuses it.
//!
//! Files are a folder of their own type (`RES_LORA`) with LoRA's two tensors for each layer.
//!
//! Deviations from the reference implementation: a type is the path with every number left open, where that takes the last name alone and
//! so links layers of one name within a block; dropout acts on the sum. The forms by blocks and by middle values, and the approximate merge,
//! are not here.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use peft_core::file::PeftConfig;
use peft_core::lora::{LoraInit, Scaling};
use peft_core::options::as_map;
use peft_core::{
    Adapter, AnyAdapter, AttachedSite, BaseLinear, FactorPair, Layout, LowRankPair, Method,
    MethodEntry, Pass, PeftError, Site, SiteLayout, Slot, TensorName,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::options::Basics;

/// What files call the type.
const PEFT_TYPE: &str = "RES_LORA";

/// ResLoRA with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResLora {
    /// Probability that an input of `A` is dropped while training.
    pub dropout: f64,
    /// Factor of the product.
    pub scaling: Scaling,
}

impl Default for ResLora {
    /// No dropout, `alpha / rank`.
    fn default() -> Self {
        Basics::default().into()
    }
}

impl From<Basics> for ResLora {
    fn from(Basics { dropout, scaling }: Basics) -> Self {
        Self { dropout, scaling }
    }
}

/// ResLoRA's entry in a registry of methods.
pub const RES_LORA: MethodEntry = MethodEntry {
    id: "reslora",
    name: "ResLoRA",
    pairs: true,
    alpha: true,
    summary: "LoRA that also sees the input of the layer of its type in the block before; cannot be merged",
    paper: "Shi et al. 2024, ResLoRA: Identity Residual Mapping in Low-Rank Adaption, arXiv 2402.18039",
    default_options: || as_map(&ResLora::default()),
    from_options: |options| {
        let method: ResLora = MethodEntry::parse(RES_LORA.id, options)?;
        method.basics().checked(RES_LORA.id)?;
        Ok(Box::new(method))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    Ok(Box::new(ResLora::from(Basics::of(RES_LORA.id, config)?)))
}

const TENSORS: [TensorName; 2] = [
    TensorName::trained("a", "lora_A.weight", Layout::Transposed),
    TensorName::trained("b", "lora_B.weight", Layout::Transposed),
];

impl ResLora {
    fn basics(&self) -> Basics {
        Basics {
            dropout: self.dropout,
            scaling: self.scaling,
        }
    }
}

/// Whether the layer of the same type before this one hands it its input.
fn is_linked(site: &Site, sites: &[AttachedSite]) -> bool {
    let kind = Site::module_type(&site.path);
    let before = sites.iter().take_while(|other| other.path != site.path);
    let previous = before
        .filter(|other| Site::module_type(&other.path) == kind)
        .last();
    previous.is_some_and(|other| (other.d_in, other.d_out) == (site.d_in, site.d_out))
}

impl Method for ResLora {
    fn entry(&self) -> &'static MethodEntry {
        &RES_LORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (d_in, d_out, rank) = (slot.site.d_in, slot.site.d_out, slot.rank);
        let (a, b) = LoraInit::Kaiming.draw(d_in, d_out, rank, &mut slot.rng());
        Ok(AnyAdapter::new(ResLoraAdapter {
            a: slot.trainable("a", a),
            b: slot.trainable("b", b),
            scale: self.scaling.factor(rank, slot.alpha),
            dropout: self.dropout,
            link: format!("{}#{}", slot.adapter, Site::module_type(&slot.site.path)),
            is_linked: is_linked(slot.site, slot.peers.sites),
        }))
    }

    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        SiteLayout::of_pair(TENSORS, site, rank, self.scaling.factor(rank, alpha), 1)
    }

    fn config_fields(&self) -> Map<String, Value> {
        self.basics().fields(PEFT_TYPE, Map::new())
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The factors of one layer, and where the input of the layer before is to be found.
#[derive(Module, Debug)]
pub struct ResLoraAdapter {
    /// Down-projection, shape `[d_in, rank]`.
    pub a: Param<Tensor<2>>,
    /// Up-projection, shape `[rank, d_out]`.
    pub b: Param<Tensor<2>>,
    /// Factor of the product.
    pub scale: f64,
    /// Probability that an input of `a` is dropped while training.
    pub dropout: f64,
    /// Under which name layers of this type leave their inputs.
    #[module(skip)]
    link: String,
    is_linked: bool,
}

impl Adapter for ResLoraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        TENSORS.to_vec()
    }

    /// Where the layer before saw other rows than this one, it hands nothing on.
    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let before = pass.carried(&self.link).filter(|_| self.is_linked);
        let before = before.filter(|before| before.dims() == x.dims());
        pass.carry(&self.link, x.clone());
        let sum = match before {
            Some(before) => x + before,
            None => x.mul_scalar(2.0),
        };
        let pair = LowRankPair {
            a: self.a.val(),
            b: self.b.val(),
            scale: self.scale,
            input: pass.dropped(&sum, self.dropout),
        };
        pair.output(sum)
    }

    fn effective_weight(&self, _weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Err(
            "its update depends on the inputs of two layers, so that no single weight says the same",
        )
    }

    fn pairs(&self) -> Vec<FactorPair> {
        vec![FactorPair {
            a: self.a.id,
            b: self.b.id,
            scale: self.scale,
            count: 1,
        }]
    }
}
