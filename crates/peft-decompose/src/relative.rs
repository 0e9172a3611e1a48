//! Low-rank pairs that start from the frozen weight instead of at zero: `y = x W + bias + scale * ((x A) B - (x A_0) B_0)`.
//!
//! `A_0` and `B_0` are the start of `A` and `B`. Published implementations subtract `scale * A_0 B_0` from the weight, and an adapter is
//! then worthless without the very same subtraction. Here the weight stays as it is and the start is subtracted beside it, so that
//! training begins at the base, and a folder holds plain LoRA of twice the rank:
//! `A' = [A | A_0]`, `B' = [B ; -B_0]`, with the same scale. Dropout acts on the input of both products: a fresh adapter is the base in every
//! training step too. (Where the start is taken from the weight, as in PEFT, it is never dropped.)

use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::lora::{Lora, LoraAdapter, LoraInit, Scaling};
use peft_core::options::{as_map, check_dropout};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, FactorPair, Layout, LowRankPair, MethodEntry, Pass, PeftError,
    Site, SiteKind, SiteLayout, Slot, StoredMethod, TensorName,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Options of every method with such a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelativeOptions {
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    /// Factor of the product.
    pub scaling: Scaling,
}

impl Default for RelativeOptions {
    /// No dropout, `alpha / rank`.
    fn default() -> Self {
        Self {
            dropout: 0.0,
            scaling: Scaling::Standard,
        }
    }
}

impl RelativeOptions {
    pub(crate) fn from_options(
        method: &'static str,
        options: &Map<String, Value>,
    ) -> Result<Self, PeftError> {
        let options: Self = MethodEntry::parse(method, options)?;
        check_dropout(method, options.dropout)?;
        Ok(options)
    }

    /// Whether a folder is of the kind that Hugging Face PEFT writes unless it is asked to convert: factors alone, and the name
    /// of the start that its reader has to compute again.
    pub(crate) fn describes(config: &PeftConfig, init: &str) -> bool {
        let written = config.init_lora_weights.as_str();
        config.peft_type == "LORA" && !config.use_dora && written == Some(init)
    }

    /// The options of such a folder.
    pub(crate) fn from_config(
        method: &'static str,
        config: &PeftConfig,
    ) -> Result<Self, PeftError> {
        let problems: Vec<String> = config
            .unsupported_for_lora()
            .iter()
            .filter(|feature| feature.field != "init_lora_weights")
            .map(ToString::to_string)
            .collect();
        if !problems.is_empty() {
            return Err(PeftError::Unsupported { problems });
        }
        check_dropout(method, config.lora_dropout)?;
        Ok(Self {
            dropout: config.lora_dropout,
            scaling: Scaling::of(config),
        })
    }

    /// The fields of a configuration that names the start; folders are written as plain LoRA instead (see [`Self::stored`]).
    pub(crate) fn config_fields(&self, init: &str) -> Map<String, Value> {
        as_map(&json!({
            "peft_type": "LORA",
            "init_lora_weights": init,
            "lora_dropout": self.dropout,
            "use_rslora": self.scaling == Scaling::RankStabilized,
            "use_dora": false,
        }))
    }

    /// LoRA of twice the rank, its alpha such that the scale stays.
    pub(crate) fn stored(&self) -> StoredMethod {
        StoredMethod {
            method: Box::new(Lora {
                dropout: self.dropout,
                init: LoraInit::Kaiming,
                scaling: self.scaling,
            }),
            rank_factor: 2,
            alpha_factor: match self.scaling {
                Scaling::Standard => 2.0,
                Scaling::RankStabilized => 2f64.sqrt(),
            },
        }
    }

    /// The factor of the product at a slot.
    ///
    /// # Errors
    /// [`PeftError::Rank`] when the rank exceeds what a weight of that size has.
    pub(crate) fn scale(&self, slot: &Slot<'_>) -> Result<f64, PeftError> {
        let limit = slot.site.d_in.min(slot.site.d_out);
        if slot.rank <= limit {
            return Ok(self.scaling.factor(slot.rank, slot.alpha));
        }
        Err(PeftError::Rank {
            site: slot.site.path.clone(),
            rank: slot.rank,
            limit,
        })
    }

    /// Two factors: their starts follow from the weight.
    pub(crate) fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        SiteLayout::of_pair(TENSORS, site, rank, self.scaling.factor(rank, alpha), 1)
    }

    /// The adapter that starts at `a [d_in, rank]` and `b [rank, d_out]`.
    pub(crate) fn adapter(
        &self,
        slot: &Slot<'_>,
        scale: f64,
        a: TensorData,
        b: TensorData,
    ) -> AnyAdapter {
        let fixed = |data: TensorData| Tensor::<2>::from_data(data, (&slot.device(), DType::F32));
        AnyAdapter::new(RelativeAdapter {
            a_start: fixed(a.clone()),
            b_start: fixed(b.clone()).neg(),
            a: slot.trainable("a", a),
            b: slot.trainable("b", b),
            scale,
            dropout: self.dropout,
        })
    }
}

/// The trainable state at one site, and where it started.
#[derive(Module, Debug)]
pub struct RelativeAdapter {
    /// Down-projection, shape `[d_in, rank]`.
    pub a: Param<Tensor<2>>,
    /// Up-projection, shape `[rank, d_out]`.
    pub b: Param<Tensor<2>>,
    /// `A_0`.
    a_start: Tensor<2>,
    /// `-B_0`.
    b_start: Tensor<2>,
    /// Factor of the products.
    pub scale: f64,
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
}

impl RelativeAdapter {
    /// `[A | A_0]`, shape `[d_in, 2 rank]`.
    fn both_a(&self) -> Tensor<2> {
        Tensor::cat(vec![self.a.val(), self.a_start.clone()], 1)
    }

    /// `[B ; -B_0]`, shape `[2 rank, d_out]`.
    fn both_b(&self) -> Tensor<2> {
        Tensor::cat(vec![self.b.val(), self.b_start.clone()], 0)
    }

    /// The pair beside the product with `x`, or with what dropout leaves of it.
    fn pair(&self, x: &Tensor<2>, pass: &mut Pass<'_>) -> LowRankPair {
        LowRankPair {
            a: self.both_a(),
            b: self.both_b(),
            scale: self.scale,
            input: pass.dropped(x, self.dropout),
        }
    }
}

const TENSORS: [TensorName; 2] = [
    TensorName::trained("a", "lora_A.weight", Layout::Transposed),
    TensorName::trained("b", "lora_B.weight", Layout::Transposed),
];

impl Adapter for RelativeAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        TENSORS.to_vec()
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
        let change = self.both_a().matmul(self.both_b()).mul_scalar(self.scale);
        Ok(weight + change)
    }

    fn stored(&self) -> Option<AnyAdapter> {
        let param = |id: ParamId, value: Tensor<2>| Param::initialized(id, value.detach());
        Some(AnyAdapter::new(LoraAdapter {
            a: param(self.a.id, self.both_a()),
            b: param(self.b.id, self.both_b()),
            scale: self.scale,
            dropout: self.dropout,
            kind: SiteKind::Linear,
        }))
    }

    fn restored(&self, stored: &AnyAdapter) -> Self {
        let Some(stored) = stored.downcast_ref::<LoraAdapter>() else {
            return self.clone();
        };
        let rank = self.a.lazy_shape()[1];
        let halves = |both: &Param<Tensor<2>>, axis: usize| {
            let both = both.val().detach();
            let half = |start: usize| both.clone().narrow(axis, start, rank);
            (half(0), half(rank))
        };
        let (a, a_start) = halves(&stored.a, 1);
        let (b, b_start) = halves(&stored.b, 0);
        let trained = |old: &Param<Tensor<2>>, value: Tensor<2>| {
            Param::initialized(old.id, value).set_require_grad(old.is_require_grad())
        };
        Self {
            a: trained(&self.a, a),
            b: trained(&self.b, b),
            a_start,
            b_start,
            scale: self.scale,
            dropout: self.dropout,
        }
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
