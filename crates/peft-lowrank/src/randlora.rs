//! RandLoRA, <https://arxiv.org/abs/2502.00987>: random bases that all layers have in common stay frozen, and each layer trains how they are
//! scaled, `y = x W + bias + scale * dropout(x) sum_n B_n diag(l_n) A diag(g_n)`, with `scale = alpha / rank`; its rank is up to the full one.
//!
//! With `small = min(d_in, d_out)` and `large = max(d_in, d_out)` there are `ceil(small / rank)` bases: `B_n [large, rank]` each its own and one
//! `A [rank, small]`; the update is the sum, or its transpose where `d_in < d_out`. `l_n [rank]` starts at zero, `g_n [small]` at `1 / max(bases,
//! small)`. A lower rank means more bases and more parameters. Layers take the first rows, columns and bases of what is drawn for the largest.
//!
//! Files are those of Hugging Face PEFT (`RANDLORA`): `randlora_lambda [rank, bases]` and `randlora_gamma [bases, small]` for each layer, and once
//! `randlora_A [rank, 1, small]`, `randlora_B [large, bases, rank]` of the largest widths, unless `save_projection` is off.
//!
//! Deviation from PEFT: it writes `randlora_A` and `randlora_B` beside every layer too; here they are written once, and read either way.

mod bases;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::lora::Scaling;
use peft_core::options::{as_map, check_dropout, own_option, peft_fields, refuse_untyped};
use peft_core::{
    Adapter, AnyAdapter, AttachedSite, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError,
    Site, SiteLayout, Slot, TensorName, TensorShape,
};
use peft_kernels::product;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use bases::Basis;
use bases::Widths;

/// What files call the type.
const PEFT_TYPE: &str = "RANDLORA";
/// What files call alpha.
const ALPHA: &str = "randlora_alpha";

/// RandLoRA with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandLora {
    /// Probability that an input of the update is dropped while training.
    pub dropout: f64,
    /// What the random bases are drawn from.
    pub basis: Basis,
    /// Seed of the bases; the same seed gives PEFT's.
    pub projection_prng_key: u64,
    /// Whether folders hold the bases; without them, readers draw them again from the seed.
    pub save_projection: bool,
}

impl Default for RandLora {
    /// PEFT's defaults.
    fn default() -> Self {
        Self {
            dropout: 0.0,
            basis: Basis::Dense,
            projection_prng_key: 0,
            save_projection: true,
        }
    }
}

/// RandLoRA's entry in a registry of methods.
pub const RANDLORA: MethodEntry = MethodEntry {
    id: "randlora",
    name: "RandLoRA",
    pairs: false,
    alpha: true,
    summary: "a full-rank sum of random bases that all layers have in common, scaled by trained vectors",
    paper: "Albert et al. 2025, RandLoRA: Full-Rank Parameter-Efficient Fine-Tuning of Large Models, arXiv 2502.00987",
    default_options: || as_map(&RandLora::default()),
    from_options: |options| {
        let method: RandLora = MethodEntry::parse(RANDLORA.id, options)?;
        check_dropout(RANDLORA.id, method.dropout)?;
        Ok(Box::new(method))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    refuse_untyped(config)?;
    let field = |field| own_option::<Option<bool>>(RANDLORA.id, config, field);
    if config.raw.get(ALPHA).is_none_or(Value::is_null) {
        return Err(PeftError::Unsupported {
            problems: vec![format!(
                "`{ALPHA}` is missing: write the value of the training, which in PEFT is 640 unless it is given"
            )],
        });
    }
    let method = RandLora {
        dropout: own_option(RANDLORA.id, config, "randlora_dropout")?,
        basis: match (field("sparse")?, field("very_sparse")?) {
            (_, Some(true)) => Basis::VerySparse,
            (Some(true), _) => Basis::Sparse,
            _ => Basis::Dense,
        },
        projection_prng_key: own_option(RANDLORA.id, config, "projection_prng_key")?,
        save_projection: field("save_projection")?.unwrap_or(true),
    };
    check_dropout(RANDLORA.id, method.dropout)?;
    Ok(Box::new(method))
}

const LAMBDA: TensorName = TensorName::trained("lambda", "randlora_lambda", Layout::Transposed);
const GAMMA: TensorName = TensorName::trained("gamma", "randlora_gamma", Layout::Transposed);
const A: TensorName = TensorName::frozen("basis_a", "randlora_A", Layout::AsIs).common();
const B: TensorName = TensorName::frozen("basis_b", "randlora_B", Layout::AsIs).common();

impl Method for RandLora {
    fn entry(&self) -> &'static MethodEntry {
        &RANDLORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (site, rank) = (slot.site, slot.rank);
        let (basis_a, basis_b) = match slot.peers.first::<RandLoraAdapter>() {
            Some(first) => (
                slot.taken(&A.field, &first.basis_a),
                slot.taken(&B.field, &first.basis_b),
            ),
            None => {
                let alone = (site.d_in, site.d_out);
                let widths = Widths::of(Widths::largest(slot.peers.sites, alone), rank);
                let [a, b] = self.basis.draw(self.projection_prng_key, widths, rank);
                (slot.frozen(&A.field, a), slot.frozen(&B.field, b))
            }
        };
        let Widths { small, bases, .. } = Widths::of((site.d_in, site.d_out), rank);
        let start = 1.0 / bases.max(small) as f32;
        let lambda = TensorData::new(vec![0.0f32; bases * rank], [bases, rank]);
        let gamma = TensorData::new(vec![start; small * bases], [small, bases]);
        Ok(AnyAdapter::new(RandLoraAdapter {
            lambda: slot.trainable(&LAMBDA.field, lambda),
            gamma: slot.trainable(&GAMMA.field, gamma),
            basis_a,
            basis_b,
            d_in: site.d_in,
            d_out: site.d_out,
            scale: Scaling::Standard.factor(rank, slot.alpha),
            dropout: self.dropout,
            saved: self.save_projection,
        }))
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        let Widths { small, bases, .. } = Widths::of((site.d_in, site.d_out), rank);
        SiteLayout::default()
            .with(LAMBDA, [bases, rank])
            .with(GAMMA, [small, bases])
    }

    fn common(&self, sites: &[AttachedSite]) -> Result<Vec<TensorShape>, PeftError> {
        let rank = sites.first().map_or(1, |site| site.rank);
        let widths = Widths::of(Widths::largest(sites, (1, 1)), rank);
        let tensors = [(A, widths.shape_of_a(rank)), (B, widths.shape_of_b(rank))];
        let saved = tensors.into_iter().filter(|_| self.save_projection);
        Ok(saved
            .map(|(name, shape)| TensorShape {
                name,
                shape: shape.to_vec(),
            })
            .collect())
    }

    fn config_fields(&self) -> Map<String, Value> {
        peft_fields(
            &json!({
                "peft_type": PEFT_TYPE,
                "randlora_dropout": self.dropout,
                "sparse": self.basis == Basis::Sparse,
                "very_sparse": self.basis == Basis::VerySparse,
                "projection_prng_key": self.projection_prng_key,
                "save_projection": self.save_projection,
                "init_weights": true,
                "rank_pattern": null,
                "alpha_pattern": null,
            }),
            &[],
        )
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

/// The scales of one layer, and the bases that all layers have.
#[derive(Module, Debug)]
pub struct RandLoraAdapter {
    /// Factor of each direction of each basis, shape `[bases, rank]`.
    pub lambda: Param<Tensor<2>>,
    /// Factor of each of the fewer of inputs and outputs, for each basis, shape `[small, bases]`.
    pub gamma: Param<Tensor<2>>,
    /// Frozen, shape `[rank, 1, largest small]`.
    pub basis_a: Param<Tensor<3>>,
    /// Frozen, shape `[largest large, most bases, rank]`.
    pub basis_b: Param<Tensor<3>>,
    d_in: usize,
    d_out: usize,
    /// Factor of the update.
    pub scale: f64,
    /// Probability that an input of the update is dropped while training.
    pub dropout: f64,
    /// Whether files hold the bases.
    saved: bool,
}

impl RandLoraAdapter {
    /// `[d_in, rank bases]` and `[rank bases, d_out]`, whose product is the update without the scale.
    ///
    /// PEFT pairs the directions of the scaled `A` in the order `(rank, basis)` with those of `B` in the order `(basis, rank)`.
    fn factors(&self) -> (Tensor<2>, Tensor<2>) {
        let ([bases, rank], [small, _]) = (self.lambda.dims(), self.gamma.dims());
        let (large, width) = (self.d_in.max(self.d_out), bases * rank);
        let lambda = self.lambda.val().transpose().unsqueeze_dim::<3>(2);
        let gamma = self.gamma.val().transpose().unsqueeze_dim::<3>(0);
        let scaled = self.basis_a.val().narrow(2, 0, small) * lambda * gamma;
        let scaled = scaled.reshape([width, small]);
        let basis = self.basis_b.val().narrow(0, 0, large).narrow(1, 0, bases);
        let basis = basis.reshape([large, width]);
        match small == self.d_in {
            true => (scaled.transpose(), basis.transpose()),
            false => (basis, scaled),
        }
    }
}

impl Adapter for RandLoraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        let common = [A, B].into_iter().filter(|_| self.saved);
        [LAMBDA, GAMMA].into_iter().chain(common).collect()
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let (first, second) = self.factors();
        let hidden = product(pass.dropout(x, self.dropout), first);
        product(hidden.mul_scalar(self.scale), second)
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let (first, second) = self.factors();
        Ok(weight + first.mul_scalar(self.scale).matmul(second))
    }
}
