//! A mixture of LoRA experts, Sun et al. 2025, <https://arxiv.org/abs/2502.15828>: `y = x W + bias + sum_i g_i scale (dropout(x) A_i) B_i`
//!
//! over the `top_k` experts that the router `R [d_in, experts]` gives a token, with the gates `g_i` of [`crate::GateRescale`]'s page. Each
//! expert `A_i [d_in, rank]`, `B_i [rank, d_out]` starts as a LoRA of its own, its product at zero; dropout draws another mask for each.
//! Only the chosen experts are computed, unless half of all are chosen.
//!
//! In memory the experts stand side by side, `a [d_in, experts * rank]` and `b [experts * rank, d_out]`. Files are of an own type
//! (`MOE_LORA`) with `experts.lora_A.weight [experts * rank, d_in]`, `experts.lora_B.weight [d_out, experts * rank]` and
//! `router.weight [experts, d_in]`.
//!
//! The output depends on what the router says of each token, so there is no weight to merge into.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::lora::{LoraInit, Scaling};
use peft_core::options::{as_map, check_dropout, check_format_version, own_option};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, FactorPair, Layout, Method, MethodEntry, Pass, PeftError,
    Site, SiteLayout, Slot, TensorName, init,
};
use peft_kernels::{Experts, Routing, expert_mixture, expert_mixture_dense, product};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::balance::RouterLoss;
use crate::gate::GateRescale;
use crate::router::route;

/// What files call the type.
const PEFT_TYPE: &str = "MOE_LORA";

/// A mixture of LoRA experts with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoeLora {
    /// How many experts each layer has.
    pub experts: usize,
    /// How many of them each token goes to.
    pub top_k: usize,
    /// What replaces the gate in the gradient of an expert's output.
    pub gate_rescale: GateRescale,
    /// Probability that an input of an expert is dropped while training.
    pub dropout: f64,
    /// Initial values of each pair.
    pub init: LoraInit,
    /// Factor of the products.
    pub scaling: Scaling,
    /// How much of the load-balance loss is added to the task's.
    pub balance_loss: f64,
    /// How much of the router's z-loss is added to the task's.
    pub z_loss: f64,
}

impl Default for MoeLora {
    /// Eight experts, two for each token, none of the losses.
    fn default() -> Self {
        Self {
            experts: 8,
            top_k: 2,
            gate_rescale: GateRescale::None,
            dropout: 0.0,
            init: LoraInit::Kaiming,
            scaling: Scaling::Standard,
            balance_loss: 0.0,
            z_loss: 0.0,
        }
    }
}

/// The entry of MoE-LoRA in a registry of methods.
pub const MOE_LORA: MethodEntry = MethodEntry {
    id: "moe-lora",
    name: "MoE-LoRA",
    pairs: true,
    alpha: true,
    summary: "several LoRA experts beside each weight, of which a router gives every token a few",
    paper: "Sun et al. 2025, A Stronger Mixture of Low-Rank Experts for Fine-Tuning Foundation Models, arXiv 2502.15828",
    default_options: || as_map(&MoeLora::default()),
    from_options: |options| {
        let method: MoeLora = MethodEntry::parse(MOE_LORA.id, options)?;
        Ok(Box::new(method.checked()?))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    check_format_version(MOE_LORA.id, config)?;
    let method = MoeLora {
        experts: own_option(MOE_LORA.id, config, "num_experts")?,
        top_k: own_option(MOE_LORA.id, config, "top_k")?,
        gate_rescale: own_option(MOE_LORA.id, config, "gate_rescale")?,
        dropout: config.lora_dropout,
        init: LoraInit::default(),
        scaling: Scaling::of(config),
        balance_loss: own_option(MOE_LORA.id, config, "balance_loss")?,
        z_loss: own_option(MOE_LORA.id, config, "z_loss")?,
    };
    Ok(Box::new(method.checked()?))
}

impl MoeLora {
    fn checked(self) -> Result<Self, PeftError> {
        let bad = |option: &str, problem: String| {
            Err(PeftError::Option {
                method: MOE_LORA.id,
                option: option.into(),
                problem,
            })
        };
        check_dropout(MOE_LORA.id, self.dropout)?;
        if self.experts == 0 || self.experts > MAX_EXPERTS {
            let problem = format!("expected 1 to {MAX_EXPERTS}, found {}", self.experts);
            return bad("experts", problem);
        }
        if self.top_k == 0 || self.top_k > self.experts {
            let problem = format!(
                "expected 1 to the number of experts, {}, found {}",
                self.experts, self.top_k
            );
            return bad("top_k", problem);
        }
        for (option, value) in [("balance_loss", self.balance_loss), ("z_loss", self.z_loss)] {
            if !(value.is_finite() && value >= 0.0) {
                return bad(
                    option,
                    format!("expected 0 or a positive number, found {value}"),
                );
            }
        }
        Ok(self)
    }

    /// `A_i` of all experts side by side, `[d_in, experts * rank]`, and `B_i` one below the other, each pair drawn as a LoRA's.
    fn draw(&self, site: &Site, rank: usize, rng: &mut impl Rng) -> (TensorData, TensorData) {
        let (d_in, d_out, width) = (site.d_in, site.d_out, self.experts * rank);
        let mut a = vec![0.0_f32; d_in * width];
        let mut b = Vec::with_capacity(width * d_out);
        for expert in 0..self.experts {
            let (own_a, own_b) = self.init.draw(d_in, d_out, rank, rng);
            for (at, value) in own_a.iter::<f32>().enumerate() {
                a[at / rank * width + expert * rank + at % rank] = value;
            }
            b.extend(own_b.iter::<f32>());
        }
        (
            TensorData::new(a, [d_in, width]),
            TensorData::new(b, [width, d_out]),
        )
    }
}

/// More experts than anybody trained, and few enough that a hostile file cannot ask for the whole memory.
const MAX_EXPERTS: usize = 1024;

impl Method for MoeLora {
    fn entry(&self) -> &'static MethodEntry {
        &MOE_LORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (site, rank) = (slot.site, slot.rank);
        let mut rng = slot.rng();
        let (a, b) = self.draw(site, rank, &mut rng);
        // As a linear layer of PyTorch starts.
        let router = init::kaiming_uniform(site.d_in, self.experts, &mut rng);
        Ok(AnyAdapter::new(MixtureAdapter {
            a: slot.trainable("a", a),
            b: slot.trainable("b", b),
            router: slot.trainable("router", router),
            method: self.clone(),
            scale: self.scaling.factor(rank, slot.alpha),
        }))
    }

    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        let scale = self.scaling.factor(rank, alpha);
        let [a, b, router] = TENSORS;
        SiteLayout::of_pair([a, b], site, rank, scale, self.experts)
            .with(router, [site.d_in, self.experts])
    }

    fn routes(&self) -> bool {
        true
    }

    fn config_fields(&self) -> Map<String, Value> {
        let fields = json!({
            "peft_type": PEFT_TYPE,
            "format_version": 1,
            "num_experts": self.experts,
            "top_k": self.top_k,
            "gate_rescale": self.gate_rescale,
            "balance_loss": self.balance_loss,
            "z_loss": self.z_loss,
            "lora_dropout": self.dropout,
            "use_rslora": self.scaling == Scaling::RankStabilized,
        });
        fields.as_object().cloned().unwrap_or_default()
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The experts and the router of one layer.
#[derive(Module, Debug)]
pub struct MixtureAdapter {
    /// Down-projections side by side, shape `[d_in, experts * rank]`.
    pub a: Param<Tensor<2>>,
    /// Up-projections one below the other, shape `[experts * rank, d_out]`.
    pub b: Param<Tensor<2>>,
    /// Its product with a token is the logit of each expert, shape `[d_in, experts]`.
    pub router: Param<Tensor<2>>,
    /// Factor of the products.
    pub scale: f64,
    #[module(skip)]
    method: MoeLora,
}

const TENSORS: [TensorName; 3] = [
    TensorName::trained("a", "experts.lora_A.weight", Layout::Transposed),
    TensorName::trained("b", "experts.lora_B.weight", Layout::Transposed),
    TensorName::trained("router", "router.weight", Layout::Transposed),
];

impl Adapter for MixtureAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        TENSORS.to_vec()
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let method = &self.method;
        let routed = route(product(x.clone(), self.router.val()), method.top_k);
        pass.observe_routing(base.site, &routed.probabilities, &routed.chosen);
        let loss = RouterLoss {
            balance: method.balance_loss,
            z: method.z_loss,
        };
        if pass.is_training()
            && let Some(loss) = loss.of(&routed, pass.padding(x.dims()[0]))
        {
            pass.add_loss(loss);
        }
        let experts = Experts {
            a: self.a.val(),
            b: self.b.val(),
            count: method.experts,
        };
        let credits = method.gate_rescale.credits(routed.gates.clone());
        let routing = Routing {
            weights: routed.gates.mul_scalar(self.scale),
            credits: credits.mul_scalar(self.scale),
            chosen: routed.chosen,
        };
        let seed = (method.dropout > 0.0).then(|| pass.mask_seed()).flatten();
        match seed {
            // Two wide products are faster than many narrow ones where half of those are wanted; but dropout makes them many.
            None if 2 * method.top_k >= method.experts => {
                expert_mixture_dense(x, experts, routing, None)
            }
            seed => expert_mixture(x, experts, routing, seed.map(|seed| (method.dropout, seed))),
        }
    }

    fn effective_weight(&self, _weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Err(
            "a router chooses other experts for each token, so no single weight says the same; run the model with its adapter",
        )
    }

    fn pairs(&self) -> Vec<FactorPair> {
        vec![FactorPair {
            a: self.a.id,
            b: self.b.id,
            scale: self.scale,
            count: self.method.experts,
        }]
    }
}
