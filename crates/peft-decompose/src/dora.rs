//! DoRA, <https://arxiv.org/abs/2402.09353>: `y = n (.) (x V) + bias`, `V = W + scale * A B`, `n = m / ||V||`,
//! with `scale = alpha / rank` and one magnitude `m` per output.
//!
//! where `A [d_in, rank]` starts random, `B [rank, d_out]` at zero, `m [d_out]` at the norms of `W`'s outputs, so that training
//! starts at the base. `||V||` comes from the factors (see `norms.rs`) and is a constant in the backward pass, as in the paper's
//! section 4.3. Dropout acts as in Hugging Face PEFT: `y = x W + bias + (n - 1) (.) (drop(x) W) + n (.) scale * (drop(x) A) B`.
//! With `axis = input`, the text of the paper taken literally, `m` and the norms belong to inputs: `y = (n (.) x) V + bias`.
//!
//! Files hold `lora_A.weight [rank, d_in]`, `lora_B.weight [d_out, rank]`, `lora_magnitude_vector [d_out]`.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use peft_core::file::PeftConfig;
use peft_core::lora::{LoraInit, Scaling};
use peft_core::options::{as_map, check_dropout, refuse_unreadable};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Fact, FactorPair, Layout, Method, MethodEntry, Pass,
    PeftError, Site, SiteLayout, Slot, TensorName,
};
use peft_kernels::{Keep, scale_columns};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::factors::Factors;
use crate::norms::{Side, change, checked_squares, in_f32, norm, squares};

/// DoRA with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dora {
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    /// Initial value of `A`.
    pub init: LoraInit,
    /// Factor of the product.
    pub scaling: Scaling,
    /// What a magnitude belongs to.
    pub axis: Side,
}

impl Default for Dora {
    /// No dropout, Kaiming-uniform `A`, `alpha / rank`, a magnitude per output.
    fn default() -> Self {
        Self {
            dropout: 0.0,
            init: LoraInit::Kaiming,
            scaling: Scaling::Standard,
            axis: Side::Output,
        }
    }
}

/// The entry of DoRA in a registry of methods.
pub const DORA: MethodEntry = MethodEntry {
    id: "dora",
    name: "DoRA",
    pairs: true,
    alpha: true,
    summary: "LoRA for the directions of the weight and a trained magnitude per output",
    paper: "Liu et al. 2024, DoRA: Weight-Decomposed Low-Rank Adaptation, arXiv 2402.09353",
    default_options: || as_map(&Dora::default()),
    from_options: Dora::from_options,
    recognises: |config| is_pefts(config) || config.peft_type == INPUT_TYPE,
    from_config: Dora::from_config,
};

/// `peft_type` of folders with a magnitude per input, which Python PEFT does not know and must not misread.
const INPUT_TYPE: &str = "DORA_INPUT";

fn is_pefts(config: &PeftConfig) -> bool {
    config.peft_type == "LORA" && config.use_dora
}

impl Dora {
    fn from_options(options: &Map<String, Value>) -> Result<Box<dyn Method>, PeftError> {
        let method: Self = MethodEntry::parse(DORA.id, options)?;
        check_dropout(DORA.id, method.dropout)?;
        Ok(Box::new(method))
    }

    fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
        let axis = if is_pefts(config) {
            refuse_unreadable(config)?;
            Side::Output
        } else {
            Side::Input
        };
        check_dropout(DORA.id, config.lora_dropout)?;
        Ok(Box::new(Self {
            dropout: config.lora_dropout,
            init: LoraInit::Kaiming,
            scaling: Scaling::of(config),
            axis,
        }))
    }
}

impl Method for Dora {
    fn entry(&self) -> &'static MethodEntry {
        &DORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let squares = checked_squares(slot, self.axis)?;
        let magnitude = squares.clone().sqrt().reshape([-1]);
        Ok(AnyAdapter::new(DoraAdapter {
            factors: Factors::start(slot, self.init, self.scaling),
            magnitude: slot.trainable("magnitude", peft_core::read(magnitude)),
            squares,
            dropout: self.dropout,
            axis: self.axis,
        }))
    }

    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        let magnitudes = match self.axis {
            Side::Output => site.d_out,
            Side::Input => site.d_in,
        };
        Factors::layout(site, rank, alpha, self.scaling).with(TENSORS[2].clone(), [magnitudes])
    }

    fn config_fields(&self) -> Map<String, Value> {
        as_map(&json!({
            "peft_type": if self.axis == Side::Output { "LORA" } else { INPUT_TYPE },
            "lora_dropout": self.dropout,
            "use_rslora": self.scaling == Scaling::RankStabilized,
            "use_dora": self.axis == Side::Output,
        }))
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The trainable state at one site.
#[derive(Module, Debug)]
pub struct DoraAdapter {
    /// The low-rank pair.
    pub factors: Factors,
    /// Magnitudes, shape `[d_out]`, or `[d_in]` with `axis = input`.
    pub magnitude: Param<Tensor<1>>,
    /// Squared norms of the frozen weight: `[1, d_out]`, or `[d_in, 1]`.
    squares: Tensor<2>,
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    /// What a magnitude belongs to.
    #[module(skip)]
    pub axis: Side,
}

impl DoraAdapter {
    /// `n = m / ||V||`, shape `[1, d_out]` or `[d_in, 1]`; only `m` gets a gradient.
    fn ratio(&self, norms: Tensor<2>) -> Tensor<2> {
        let shape = norms.dims();
        self.magnitude.val().reshape(shape) / norms
    }

    fn norms(&self, base: &BaseLinear<'_>) -> Tensor<2> {
        let sum = self.factors.beside(base.weight.factor()).detach();
        sum.norms(self.axis, self.squares.clone())
    }

    fn drops(&self, pass: &Pass<'_>) -> bool {
        self.dropout > 0.0 && pass.is_training()
    }
}

const TENSORS: [TensorName; 3] = [
    Factors::A,
    Factors::B,
    TensorName::trained("magnitude", "lora_magnitude_vector", Layout::AsIs),
];

impl Adapter for DoraAdapter {
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
        let n = self.ratio(self.norms(base));
        let drops = self.drops(pass);
        let x = pass.dropout(x, self.dropout);
        match self.axis {
            Side::Output => {
                let product = if drops {
                    base.product(x.clone())
                } else {
                    product.clone()
                };
                let up = self.factors.b.val() * n.clone();
                product * (n - 1.0) + peft_kernels::product(self.factors.down(x), up)
            }
            Side::Input => {
                let low = self.factors.scaled_product(x.clone(), n.clone());
                base.product(x * (n.transpose() - 1.0)) + low
            }
        }
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        if self.drops(pass) {
            let product = base.product(x.clone());
            let delta = self.delta(x, &product, base, pass);
            return base.add_bias(product + delta);
        }
        let n = self.ratio(self.norms(base));
        match self.axis {
            Side::Output => {
                let sum = base.product_with(x, self.factors.beside_product());
                let bias = base.bias_as(sum.dtype());
                scale_columns(sum, n.reshape([-1]), bias, Keep::Output)
            }
            Side::Input => {
                let low = self.factors.scaled_product(x.clone(), n.clone());
                base.add_bias(base.scaled_product(x, n.reshape([-1])) + low)
            }
        }
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let sum = self.factors.beside(weight).dense();
        let norms = norm(squares(&sum.clone().detach(), self.axis));
        Ok(sum * self.ratio(norms))
    }

    fn facts(&self, weight: Tensor<2>) -> Vec<Fact> {
        let value = change(self.magnitude.val(), &in_f32(weight), self.axis);
        vec![Fact {
            name: "change of the magnitudes",
            value,
        }]
    }

    fn pairs(&self) -> Vec<FactorPair> {
        vec![self.factors.pair()]
    }
}
