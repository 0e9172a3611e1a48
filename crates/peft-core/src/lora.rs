//! LoRA and rank-stabilised LoRA: `y = x W + bias + scale * (dropout(x) A) B`, with `scale = alpha / rank`
//! (LoRA, <https://arxiv.org/abs/2106.09685>) or `scale = alpha / sqrt(rank)` (rsLoRA, <https://arxiv.org/abs/2312.03732>).
//!
//! where `A [d_in, rank]` starts random, `B [rank, d_out]` starts at zero, and `W [d_in, d_out]` stays frozen.
//! Files hold `lora_A.weight [rank, d_in]` and `lora_B.weight [d_out, rank]`.
//!
//! On an embedding `y = W[ids] + scale * A[ids] B`, with the parts of the factors exchanged: `A` starts at zero and `B`
//! random. Files hold `lora_embedding_A [rank, num_embeddings]` and `lora_embedding_B [dim, rank]`.
//!
//! Deviation from the paper, shared with Hugging Face PEFT: `A` is Kaiming-uniform rather than Gaussian by default.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
pub use peft_format::Scaling;
use peft_kernels::LowRankPair;
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::adapter::{Adapter, AnyAdapter, BaseLinear, FactorPair, TensorName};
use crate::error::PeftError;
use crate::file::PeftConfig;
use crate::init;
use crate::method::{Method, MethodEntry, Slot};
use crate::names::Layout;
use crate::options::{as_map, check_dropout, refuse_unreadable};
use crate::pass::Pass;
use crate::site_layout::SiteLayout;
use peft_format::{Site, SiteKind};

/// Initial values of the factors at linear layers. Their product is zero in each, so that training starts at the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraInit {
    /// `A` in `U(-1/sqrt(d_in), 1/sqrt(d_in))` and `B = 0`, PEFT's default.
    #[default]
    Kaiming,
    /// `A` normal with standard deviation `1/rank` and `B = 0`.
    Gaussian,
    /// Both random, each in its half of the rank's directions ([`init::orthogonal`]).
    Orthogonal,
}

impl LoraInit {
    /// The values of `A [d_in, rank]` and `B [rank, d_out]`.
    #[must_use]
    pub fn draw(
        self,
        d_in: usize,
        d_out: usize,
        rank: usize,
        rng: &mut impl Rng,
    ) -> (TensorData, TensorData) {
        let a = match self {
            Self::Kaiming => init::kaiming_uniform(d_in, rank, rng),
            Self::Gaussian => init::gaussian(d_in, rank, 1.0 / rank as f64, rng),
            Self::Orthogonal => return init::orthogonal(d_in, d_out, rank, rng),
        };
        (a, init::zeros(rank, d_out))
    }
}

/// LoRA with its options.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Probability that an input of `A` is dropped while training.
    pub dropout: f64,
    /// Initial values of the factors.
    pub init: LoraInit,
    /// Factor of the product.
    pub scaling: Scaling,
}

impl Default for Lora {
    /// No dropout, Kaiming-uniform `A`, `alpha / rank`.
    fn default() -> Self {
        Self {
            dropout: 0.0,
            init: LoraInit::Kaiming,
            scaling: Scaling::Standard,
        }
    }
}

/// LoRA's entry in a registry of methods.
pub const LORA: MethodEntry = MethodEntry {
    id: "lora",
    name: "LoRA",
    pairs: true,
    alpha: true,
    summary: "a trained low-rank product beside each frozen weight",
    paper: "Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685",
    default_options,
    from_options: |options| Lora::from_options(&LORA, Scaling::Standard, options),
    recognises: |config| is_plain_lora(config) && !config.use_rslora,
    from_config: |config| Lora::from_config(Scaling::Standard, config),
};

/// The entry of rank-stabilised LoRA.
pub const RSLORA: MethodEntry = MethodEntry {
    id: "rslora",
    name: "rsLoRA",
    pairs: true,
    alpha: true,
    summary: "LoRA scaled by alpha / sqrt(rank), so that high ranks keep learning",
    paper: "Kalajdzievski 2023, A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA, arXiv 2312.03732",
    default_options,
    from_options: |options| Lora::from_options(&RSLORA, Scaling::RankStabilized, options),
    recognises: |config| is_plain_lora(config) && config.use_rslora,
    from_config: |config| Lora::from_config(Scaling::RankStabilized, config),
};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    dropout: f64,
    init: LoraInit,
}

fn default_options() -> Map<String, Value> {
    as_map(&Options::default())
}

fn is_plain_lora(config: &PeftConfig) -> bool {
    config.peft_type == "LORA" && !config.use_dora
}

impl Lora {
    /// Fresh factors for a site: at a linear layer as [`Self::init`] says.
    #[must_use]
    pub fn factors(&self, slot: &Slot<'_>) -> LoraAdapter {
        let (d_in, d_out, rank) = (slot.site.d_in, slot.site.d_out, slot.rank);
        let mut rng = slot.rng();
        let (a, b) = match (slot.site.kind, self.init) {
            (SiteKind::Embedding, _) => (
                init::zeros(d_in, rank),
                init::gaussian(rank, d_out, 1.0, &mut rng),
            ),
            (_, start) => start.draw(d_in, d_out, rank, &mut rng),
        };
        LoraAdapter {
            a: slot.trainable("a", a),
            b: slot.trainable("b", b),
            scale: self.scaling.factor(rank, slot.alpha),
            dropout: self.dropout,
            kind: slot.site.kind,
        }
    }

    fn from_options(
        entry: &'static MethodEntry,
        scaling: Scaling,
        options: &Map<String, Value>,
    ) -> Result<Box<dyn Method>, PeftError> {
        let Options { dropout, init } = MethodEntry::parse(entry.id, options)?;
        check_dropout(entry.id, dropout)?;
        Ok(Box::new(Self {
            dropout,
            init,
            scaling,
        }))
    }

    fn from_config(scaling: Scaling, config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
        refuse_unreadable(config)?;
        Ok(Box::new(Self {
            dropout: config.lora_dropout,
            init: LoraInit::Kaiming,
            scaling,
        }))
    }
}

impl Method for Lora {
    fn entry(&self) -> &'static MethodEntry {
        match self.scaling {
            Scaling::Standard => &LORA,
            Scaling::RankStabilized => &RSLORA,
        }
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        Ok(AnyAdapter::new(self.factors(slot)))
    }

    fn adapts(&self, _kind: SiteKind) -> bool {
        true
    }

    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        let scale = self.scaling.factor(rank, alpha);
        SiteLayout::of_pair(names(site.kind).clone(), site, rank, scale, 1)
    }

    fn config_fields(&self) -> Map<String, Value> {
        let fields = json!({
            "peft_type": "LORA",
            "lora_dropout": self.dropout,
            "use_rslora": self.scaling == Scaling::RankStabilized,
            "use_dora": false,
        });
        fields.as_object().cloned().unwrap_or_default()
    }

    fn options(&self) -> Map<String, Value> {
        as_map(&Options {
            dropout: self.dropout,
            init: self.init,
        })
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The trainable factors at one site.
#[derive(Module, Debug)]
pub struct LoraAdapter {
    /// Down-projection, shape `[d_in, rank]`.
    pub a: Param<Tensor<2>>,
    /// Up-projection, shape `[rank, d_out]`.
    pub b: Param<Tensor<2>>,
    /// Factor of the product.
    pub scale: f64,
    /// Probability that an input of `a` is dropped while training.
    pub dropout: f64,
    /// What the layer is: an embedding's tensors have other names.
    #[module(skip)]
    pub kind: SiteKind,
}

static LINEAR: [TensorName; 2] = [
    TensorName::trained("a", "lora_A.weight", Layout::Transposed),
    TensorName::trained("b", "lora_B.weight", Layout::Transposed),
];
static EMBEDDING: [TensorName; 2] = [
    TensorName::trained("a", "lora_embedding_A", Layout::Transposed),
    TensorName::trained("b", "lora_embedding_B", Layout::Transposed),
];

/// The tensors of an adapter at a layer of this kind.
fn names(kind: SiteKind) -> &'static [TensorName; 2] {
    match kind {
        SiteKind::Linear | SiteKind::Conv1d => &LINEAR,
        SiteKind::Embedding => &EMBEDDING,
    }
}

impl LoraAdapter {
    /// The pair beside the product with `x`, or with what dropout leaves of it.
    fn pair(&self, x: &Tensor<2>, pass: &mut Pass<'_>) -> LowRankPair {
        LowRankPair {
            a: self.a.val(),
            b: self.b.val(),
            scale: self.scale,
            input: pass.dropped(x, self.dropout),
        }
    }
}

impl Adapter for LoraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        names(self.kind).to_vec()
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        self.pair(&x, pass).output(x)
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        let pair = self.pair(&x, pass);
        base.output_with(x, pair)
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let delta = self.a.val().matmul(self.b.val()).mul_scalar(self.scale);
        Ok(weight + delta)
    }

    /// `scale * A[ids] B`, without dropout, as in PEFT.
    fn lookup(&self, ids: Tensor<1, Int>, _base: &BaseLinear<'_>) -> Option<Tensor<2>> {
        let hidden = self.a.val().select(0, ids);
        Some(hidden.mul_scalar(self.scale).matmul(self.b.val()))
    }

    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        Some((self.a.val().mul_scalar(self.scale), self.b.val()))
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
