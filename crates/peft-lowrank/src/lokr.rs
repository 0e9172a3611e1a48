//! LoKr, <https://arxiv.org/abs/2309.14859>: the update is a Kronecker product of two small matrices, of which each may itself be a low-rank
//! product, `y = x W + bias + scale * x (W1 (x) W2)`, with `scale = alpha / rank`.
//!
//! `W1 [c, a]` and `W2 [d, b]` with `d_in = c d` and `d_out = a b`, the numbers as near to the root of the width, or to `decompose_factor`, as
//! its divisors allow. `W2` is `W2b [d, rank] W2a [rank, b]` where the rank is below half its larger side, and so is `W1` with `decompose_both`. One
//! factor starts at zero and the others Kaiming-uniform. Nothing is formed but the factors: `x` as a matrix `[c, d]` of each row gives `W1^T x W2`.
//!
//! Files are those of Hugging Face PEFT (`LOKR`): `lokr_w1 [a, c]` or `lokr_w1_a [a, rank]` and `lokr_w1_b [rank, c]`, and the same of `lokr_w2`.
//!
//! Deviation from PEFT: a dropped update has gradients of zero, where PEFT's has none, so that AdamW still decays what it has.

mod kronecker;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use peft_core::file::PeftConfig;
use peft_core::lora::Scaling;
use peft_core::options::{as_map, own_option};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site, SiteKind,
    SiteLayout, Slot, TensorName, init,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::lycoris::{ALPHA, Dropouts, fields, refuse_foreign};
use kronecker::{Sides, identity_beside, product_of, times};

/// What files call the type.
const PEFT_TYPE: &str = "LOKR";

/// What starts at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoKrInit {
    /// `W1`, as in PEFT.
    #[default]
    W1,
    /// `W2`, as in LyCORIS.
    Lycoris,
}

/// LoKr with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoKr {
    /// Which number of each width `W1` is to have: -1 for the divisor nearest to the root, else at least 1.
    pub decompose_factor: i64,
    /// Whether `W1` is a low-rank product too, where it is large enough.
    pub decompose_both: bool,
    /// What starts at zero.
    pub init: LoKrInit,
    /// Probability that an output of the update is dropped while training.
    pub rank_dropout: f64,
    /// Whether the outputs that stay are scaled up.
    pub rank_dropout_scale: bool,
    /// Probability that the whole update of a layer is dropped in a step.
    pub module_dropout: f64,
}

impl Default for LoKr {
    /// PEFT's defaults.
    fn default() -> Self {
        Self {
            decompose_factor: -1,
            decompose_both: false,
            init: LoKrInit::W1,
            rank_dropout: 0.0,
            rank_dropout_scale: false,
            module_dropout: 0.0,
        }
    }
}

/// LoKr's entry in a registry of methods.
pub const LOKR: MethodEntry = MethodEntry {
    id: "lokr",
    name: "LoKr",
    pairs: false,
    alpha: true,
    summary: "the Kronecker product of two small matrices, of which the larger may be a low-rank product",
    paper: "Yeh et al. 2024, Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation, arXiv 2309.14859",
    default_options: || as_map(&LoKr::default()),
    from_options: |options| {
        let method: LoKr = MethodEntry::parse(LOKR.id, options)?;
        Ok(Box::new(method.checked()?))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    refuse_foreign(LOKR.id, config)?;
    let dropouts = Dropouts::of(LOKR.id, config)?;
    let factor: Option<i64> = own_option(LOKR.id, config, "decompose_factor")?;
    let scale: bool = own_option(LOKR.id, config, "rank_dropout_scale")?;
    let method = LoKr {
        decompose_factor: factor.unwrap_or(LoKr::default().decompose_factor),
        decompose_both: own_option(LOKR.id, config, "decompose_both")?,
        init: match config.raw.get("init_weights").and_then(Value::as_str) {
            Some("lycoris") => LoKrInit::Lycoris,
            _ => LoKrInit::W1,
        },
        rank_dropout: dropouts.rank,
        rank_dropout_scale: scale && dropouts.rank > 0.0,
        module_dropout: dropouts.module,
    };
    Ok(Box::new(method.checked()?))
}

const W1: TensorName = TensorName::trained("w1.0", "lokr_w1", Layout::Transposed);
const W1_B: TensorName = TensorName::trained("w1.0", "lokr_w1_b", Layout::Transposed);
const W1_A: TensorName = TensorName::trained("w1.1", "lokr_w1_a", Layout::Transposed);
const W2: TensorName = TensorName::trained("w2.0", "lokr_w2", Layout::Transposed);
const W2_B: TensorName = TensorName::trained("w2.0", "lokr_w2_b", Layout::Transposed);
const W2_A: TensorName = TensorName::trained("w2.1", "lokr_w2_a", Layout::Transposed);

/// The tensors of the two factors, each of which is whole or a product.
fn names(is_product: [bool; 2]) -> Vec<TensorName> {
    let [first, second] = is_product;
    let w1 = if first { vec![W1_B, W1_A] } else { vec![W1] };
    let w2 = if second { vec![W2_B, W2_A] } else { vec![W2] };
    [w1, w2].concat()
}

impl LoKr {
    fn checked(self) -> Result<Self, PeftError> {
        self.dropouts().checked(LOKR.id)?;
        let problem = |option: &str, problem: String| PeftError::Option {
            method: LOKR.id,
            option: option.to_owned(),
            problem,
        };
        if self.decompose_factor != -1 && self.decompose_factor < 1 {
            let found = self.decompose_factor;
            let what = format!("expected -1 or a number of at least 1, found {found}");
            return Err(problem("decompose_factor", what));
        }
        if self.rank_dropout_scale && self.rank_dropout <= 0.0 {
            let what = "expected a `rank_dropout` above 0 beside it, found 0, so that it would change nothing";
            return Err(problem("rank_dropout_scale", what.to_owned()));
        }
        Ok(self)
    }

    fn dropouts(&self) -> Dropouts {
        Dropouts {
            rank: self.rank_dropout,
            scaled: self.rank_dropout_scale,
            module: self.module_dropout,
        }
    }

    fn sides(&self, site: &Site, rank: usize) -> Sides {
        let factor = usize::try_from(self.decompose_factor).ok();
        Sides::of(site.d_in, site.d_out, factor, rank, self.decompose_both)
    }
}

impl Method for LoKr {
    fn entry(&self) -> &'static MethodEntry {
        &LOKR
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let sides = self.sides(slot.site, slot.rank);
        let names = names(sides.is_product);
        let zero = match self.init {
            // The factor at the outputs is the last of W1, the one at the inputs the first of W2.
            LoKrInit::W1 => usize::from(sides.is_product[0]),
            LoKrInit::Lycoris => 1 + usize::from(sides.is_product[0]),
        };
        let mut rng = slot.rng();
        let mut factors = sides
            .shapes(slot.rank)
            .into_iter()
            .zip(&names)
            .enumerate()
            .map(|(at, ([rows, columns], name))| {
                let values = match at == zero {
                    true => init::zeros(rows, columns),
                    false => init::kaiming_uniform(rows, columns, &mut rng),
                };
                slot.trainable(&name.field, values)
            });
        let w1 = factors
            .by_ref()
            .take(1 + usize::from(sides.is_product[0]))
            .collect();
        Ok(AnyAdapter::new(LoKrAdapter {
            w1,
            w2: factors.collect(),
            scale: Scaling::Standard.factor(slot.rank, slot.alpha),
            dropouts: self.dropouts(),
        }))
    }

    /// PEFT adapts no `Conv1D` of `transformers`.
    fn adapts(&self, kind: SiteKind) -> bool {
        kind == SiteKind::Linear
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        let sides = self.sides(site, rank);
        let tensors = names(sides.is_product).into_iter().zip(sides.shapes(rank));
        tensors.fold(SiteLayout::default(), |layout, (name, shape)| {
            layout.with(name, shape)
        })
    }

    fn config_fields(&self) -> Map<String, Value> {
        let own = json!({
            "decompose_factor": self.decompose_factor,
            "decompose_both": self.decompose_both,
            "rank_dropout_scale": self.rank_dropout_scale,
            "init_weights": match self.init {
                LoKrInit::W1 => json!(true),
                LoKrInit::Lycoris => json!("lycoris"),
            },
        });
        fields(PEFT_TYPE, self.dropouts(), own)
    }

    fn alpha_field(&self) -> &'static str {
        ALPHA
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The factors of one layer.
#[derive(Module, Debug)]
pub struct LoKrAdapter {
    /// `W1 [c, a]`, or `W1b [c, rank]` and `W1a [rank, a]`.
    pub w1: Vec<Param<Tensor<2>>>,
    /// `W2 [d, b]`, or `W2b [d, rank]` and `W2a [rank, b]`.
    pub w2: Vec<Param<Tensor<2>>>,
    /// Factor of the update.
    pub scale: f64,
    #[module(skip)]
    dropouts: Dropouts,
}

impl LoKrAdapter {
    /// `W1` times the scale, in its factors.
    fn scaled_w1(&self) -> Vec<Tensor<2>> {
        let values = self.w1.iter().map(Param::val).enumerate();
        let scaled = values.map(|(at, value)| match at {
            0 => value.mul_scalar(self.scale),
            _ => value,
        });
        scaled.collect()
    }

    fn w2(&self) -> Vec<Tensor<2>> {
        self.w2.iter().map(Param::val).collect()
    }
}

impl Adapter for LoKrAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        names([&self.w1, &self.w2].map(|factors| factors.len() > 1))
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let delta = times(x, self.scaled_w1(), self.w2());
        self.dropouts.apply(delta, pass)
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let [first, second] = [self.scaled_w1(), self.w2()].map(|factors| {
            let product = factors.into_iter().reduce(Tensor::matmul);
            product.ok_or("it has no factors")
        });
        Ok(weight + product_of(first?, second?))
    }

    /// Of products the Kronecker product is a product: `(A B) (x) (C D) = (A (x) C) (B (x) D)`.
    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        let [c, d]: [Tensor<2>; 2] = self.w2().try_into().ok()?;
        let [a, b] = identity_beside(self.scaled_w1())?;
        Some((product_of(a, c), product_of(b, d)))
    }
}
