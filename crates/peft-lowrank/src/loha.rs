//! LoHa, <https://arxiv.org/abs/2108.06098>: the update is the elementwise product of two low-rank products,
//! `y = x W + bias + scale * x ((B1 A1) * (B2 A2))`, with `scale = alpha / rank`; its rank is up to `rank^2`.
//!
//! `B1`, `B2` are `[d_in, rank]` and `A1`, `A2` `[rank, d_out]`, in the letters of the files. All start Kaiming-uniform but `B2`, which starts at
//! zero, so that training starts at exactly the base. While training, `rank_dropout` drops outputs of the update and `module_dropout` the whole of it.
//!
//! The update is also the product of a pair of rank `rank^2`, `(B1 A1) * (B2 A2) = P Q` with `P[i, (r, s)] = B1[i, r] B2[i, s]` and
//! `Q[(r, s), o] = A1[r, o] A2[s, o]`; wherever the pair is smaller than the weight, no weight is formed.
//!
//! Files are those of Hugging Face PEFT (`LOHA`): `hada_w1_a [d_out, rank]`, `hada_w1_b [rank, d_in]`, `hada_w2_a`, `hada_w2_b` for each layer.
//!
//! Deviation from PEFT: a dropped update has gradients of zero, where PEFT's has none, so that AdamW still decays what it has.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::lora::Scaling;
use peft_core::options::as_map;
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site, SiteKind,
    SiteLayout, Slot, TensorName, init,
};
use peft_kernels::{LowRankPair, product};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::lycoris::{ALPHA, Dropouts, fields, refuse_foreign};

/// What files call the type.
const PEFT_TYPE: &str = "LOHA";

/// LoHa with its options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoHa {
    /// Probability that an output of the update is dropped while training; those that stay are scaled up.
    pub rank_dropout: f64,
    /// Probability that the whole update of a layer is dropped in a step.
    pub module_dropout: f64,
}

/// LoHa's entry in a registry of methods.
pub const LOHA: MethodEntry = MethodEntry {
    id: "loha",
    name: "LoHa",
    pairs: false,
    alpha: true,
    summary: "the elementwise product of two low-rank products",
    paper: "Hyeon-Woo et al. 2022, FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning, arXiv 2108.06098",
    default_options: || as_map(&LoHa::default()),
    from_options: |options| {
        let method: LoHa = MethodEntry::parse(LOHA.id, options)?;
        method.dropouts().checked(LOHA.id)?;
        Ok(Box::new(method))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    refuse_foreign(LOHA.id, config)?;
    let dropouts = Dropouts::of(LOHA.id, config)?.checked(LOHA.id)?;
    Ok(Box::new(LoHa {
        rank_dropout: dropouts.rank,
        module_dropout: dropouts.module,
    }))
}

const W1_A: TensorName = TensorName::trained("w1_a", "hada_w1_a", Layout::Transposed);
const W1_B: TensorName = TensorName::trained("w1_b", "hada_w1_b", Layout::Transposed);
const W2_A: TensorName = TensorName::trained("w2_a", "hada_w2_a", Layout::Transposed);
const W2_B: TensorName = TensorName::trained("w2_b", "hada_w2_b", Layout::Transposed);

impl LoHa {
    fn dropouts(&self) -> Dropouts {
        Dropouts {
            rank: self.rank_dropout,
            scaled: true,
            module: self.module_dropout,
        }
    }
}

impl Method for LoHa {
    fn entry(&self) -> &'static MethodEntry {
        &LOHA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (d_in, d_out, rank) = (slot.site.d_in, slot.site.d_out, slot.rank);
        let mut rng = slot.rng();
        let mut drawn = |rows, columns| init::kaiming_uniform(rows, columns, &mut rng);
        let zeros = TensorData::new(vec![0.0f32; d_in * rank], [d_in, rank]);
        Ok(AnyAdapter::new(LoHaAdapter {
            w1_a: slot.trainable("w1_a", drawn(rank, d_out)),
            w1_b: slot.trainable("w1_b", drawn(d_in, rank)),
            w2_a: slot.trainable("w2_a", drawn(rank, d_out)),
            w2_b: slot.trainable("w2_b", zeros),
            scale: Scaling::Standard.factor(rank, slot.alpha),
            dropouts: self.dropouts(),
        }))
    }

    /// PEFT adapts no `Conv1D` of `transformers`.
    fn adapts(&self, kind: SiteKind) -> bool {
        kind == SiteKind::Linear
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        [(W1_A, W1_B), (W2_A, W2_B)]
            .into_iter()
            .fold(SiteLayout::default(), |layout, (a, b)| {
                layout
                    .with(a, [rank, site.d_out])
                    .with(b, [site.d_in, rank])
            })
    }

    fn config_fields(&self) -> Map<String, Value> {
        fields(PEFT_TYPE, self.dropouts(), json!({ "init_weights": true }))
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
pub struct LoHaAdapter {
    /// Up-projection of the first product, shape `[rank, d_out]`.
    pub w1_a: Param<Tensor<2>>,
    /// Down-projection of the first product, shape `[d_in, rank]`.
    pub w1_b: Param<Tensor<2>>,
    /// Up-projection of the second product, shape `[rank, d_out]`.
    pub w2_a: Param<Tensor<2>>,
    /// Down-projection of the second product, shape `[d_in, rank]`.
    pub w2_b: Param<Tensor<2>>,
    /// Factor of the update.
    pub scale: f64,
    #[module(skip)]
    dropouts: Dropouts,
}

impl LoHaAdapter {
    /// Whether the pair of rank `rank^2` has fewer numbers than the weight.
    fn is_small(&self) -> bool {
        let ([d_in, rank], [_, d_out]) = (self.w1_b.dims(), self.w1_a.dims());
        rank * rank * (d_in + d_out) < d_in * d_out
    }

    /// `P [d_in, rank^2]` and `Q [rank^2, d_out]`.
    fn pair(&self) -> (Tensor<2>, Tensor<2>) {
        let ([d_in, rank], [_, d_out]) = (self.w1_b.dims(), self.w1_a.dims());
        let p = self.w1_b.val().unsqueeze_dim::<3>(2) * self.w2_b.val().unsqueeze_dim::<3>(1);
        let q = self.w1_a.val().unsqueeze_dim::<3>(1) * self.w2_a.val().unsqueeze_dim::<3>(0);
        let width = rank * rank;
        (p.reshape([d_in, width]), q.reshape([width, d_out]))
    }

    /// The update of the weight, shape `[d_in, d_out]`.
    fn update(&self) -> Tensor<2> {
        // The scale multiplies a narrow factor, not the wide product.
        let first = (self.w1_b.val().mul_scalar(self.scale)).matmul(self.w1_a.val());
        first * self.w2_b.val().matmul(self.w2_a.val())
    }
}

impl Adapter for LoHaAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        vec![W1_A, W1_B, W2_A, W2_B]
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let delta = if self.is_small() {
            let ((a, b), scale) = (self.pair(), self.scale);
            let input = None;
            LowRankPair { a, b, scale, input }.output(x)
        } else {
            product(x, self.update())
        };
        self.dropouts.apply(delta, pass)
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Ok(weight + self.update())
    }

    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        let (p, q) = self.is_small().then(|| self.pair())?;
        Some((p.mul_scalar(self.scale), q))
    }
}
