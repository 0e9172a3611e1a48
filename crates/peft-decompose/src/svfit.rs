//! SVFit, <https://arxiv.org/abs/2409.05926>: `y = x W + ((x V) (.) (sigma - sigma_0)) U^T + bias`, `W^T = U diag(sigma_0) V^T`.
//!
//! where `U [d_out, k]` and `V [d_in, k]` are the first `k` singular vectors of the frozen weight, `sigma_0 [k]` their values, and
//! `sigma [k]` trains. What trains is held as its shift `sigma - sigma_0`, zero at the start: the start is the base bit for bit, the
//! frozen weight is never taken apart, and weight decay pulls to the base. `sigma` may change sign.
//!
//! Files hold `svfit_sigma [k]` (the values of the base), `svfit_shift [k]`, `svfit_base_sha256 [32]` (see `svd.rs`), and with
//! `vectors = true` also `svfit_U [d_out, k]` and `svfit_V [d_in, k]`. Reading refuses a base with another digest.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::options::{as_map, check_dropout};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Fact, Layout, Method, MethodEntry, Pass, PeftError, Site,
    SiteLayout, Slot, TensorName,
};
use peft_kernels::{Keep, product, scale_columns};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base_vectors::BaseVectors;
use crate::norms::relative_change;
use crate::svd::digest;
use peft_core::options::check_format_version;

/// How many singular values train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// Every one: the smaller of `d_in` and `d_out`.
    Full,
    /// As many as the adapter's rank, rank patterns included.
    Rank,
    /// The fewest whose sum, of squares or plain, is at least `share` of the whole.
    Energy,
}

/// SVFit with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Svfit {
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    /// How many singular values train.
    pub k: Size,
    /// With `k = energy`: the share to reach, above 0 and up to 1.
    pub share: f64,
    /// With `k = energy`: whether squares of singular values are added up, or the values.
    pub squared: bool,
    /// Whether files hold the singular vectors too.
    pub vectors: bool,
}

impl Default for Svfit {
    /// No dropout, every singular value, vectors left out of files; 99 % of the squares if `k` is set to energy.
    fn default() -> Self {
        Self {
            dropout: 0.0,
            k: Size::Full,
            share: 0.99,
            squared: true,
            vectors: false,
        }
    }
}

/// The entry of SVFit in a registry of methods.
pub const SVFIT: MethodEntry = MethodEntry {
    id: "svfit",
    name: "SVFit",
    pairs: false,
    alpha: false,
    summary: "trains singular values of the frozen weight and nothing else",
    paper: "Sun et al. 2024, SVFit: Parameter-Efficient Fine-Tuning of Large Pre-Trained Models Using Singular Values, \
            arXiv 2409.05926",
    default_options: || as_map(&Svfit::default()),
    from_options: |options| Svfit::checked(MethodEntry::parse(SVFIT.id, options)?),
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config: Svfit::from_config,
};

/// Value of `peft_type` in files.
const PEFT_TYPE: &str = "SVFIT";

impl Svfit {
    fn checked(self) -> Result<Box<dyn Method>, PeftError> {
        check_dropout(SVFIT.id, self.dropout)?;
        if self.share > 0.0 && self.share <= 1.0 {
            return Ok(Box::new(self));
        }
        Err(PeftError::Option {
            method: SVFIT.id,
            option: "share".into(),
            problem: format!("expected a share above 0 and up to 1; found {}", self.share),
        })
    }

    fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
        check_format_version(SVFIT.id, config)?;
        let known = as_map(&Self::default());
        let mut own = config.raw.clone();
        own.retain(|name, value| known.contains_key(name) && !value.is_null());
        own.insert("dropout".into(), json!(config.lora_dropout));
        Self::checked(MethodEntry::parse(SVFIT.id, &own)?)
    }

    /// How many of these singular values train at a site.
    fn count(&self, slot: &Slot<'_>, values: &[f32]) -> Result<usize, PeftError> {
        let limit = values.len();
        match self.k {
            Size::Full => Ok(limit),
            Size::Rank if slot.rank <= limit => Ok(slot.rank),
            Size::Rank => Err(PeftError::Rank {
                site: slot.site.path.clone(),
                rank: slot.rank,
                limit,
            }),
            Size::Energy => {
                let energy = |value: &f32| {
                    let value = f64::from(*value);
                    if self.squared { value * value } else { value }
                };
                let whole: f64 = values.iter().map(energy).sum();
                let mut sum = 0.0;
                let reached = values.iter().position(|value| {
                    sum += energy(value);
                    sum >= self.share * whole
                });
                Ok(reached.map_or(limit, |last| last + 1))
            }
        }
    }
}

impl Method for Svfit {
    fn entry(&self) -> &'static MethodEntry {
        &SVFIT
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let digest = digest(slot.weight.val(), slot.site);
        let vectors = BaseVectors::of(slot, digest)?;
        let k = self.count(slot, vectors.sigma())?;
        let sigma = vectors.sigma()[..k].to_vec();
        let base = digest.map(f32::from).to_vec();
        Ok(AnyAdapter::new(SvfitAdapter {
            shift: slot.trainable("shift", TensorData::new(vec![0.0f32; k], [k])),
            sigma: slot.frozen("sigma", TensorData::new(sigma, [k])),
            left: slot.frozen("left", vectors.left(k)),
            right: slot.frozen("right", vectors.right(k)),
            base: slot.frozen("base", TensorData::new(base, [DIGEST])),
            dropout: self.dropout,
            vectors: self.vectors,
        }))
    }

    /// `k` numbers train; with `k = energy`, which depends on the weight, at most `min(d_in, d_out)`.
    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        let k = match self.k {
            Size::Rank => rank,
            Size::Full | Size::Energy => site.d_in.min(site.d_out),
        };
        let shapes: [Vec<usize>; 5] = [
            vec![k],
            vec![k],
            vec![DIGEST],
            vec![site.d_in, k],
            vec![k, site.d_out],
        ];
        let stored = TENSORS.iter().zip(shapes).take(match self.vectors {
            true => 5,
            false => 3,
        });
        stored.fold(SiteLayout::default(), |layout, (name, shape)| {
            layout.with(name.clone(), shape)
        })
    }

    fn config_fields(&self) -> Map<String, Value> {
        let mut fields = as_map(self);
        fields.remove("dropout");
        fields.insert("peft_type".into(), json!(PEFT_TYPE));
        fields.insert("format_version".into(), json!(1));
        fields.insert("lora_dropout".into(), json!(self.dropout));
        fields
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The trainable state at one site, and the frozen directions it acts along.
#[derive(Module, Debug)]
pub struct SvfitAdapter {
    /// `sigma - sigma_0`, shape `[k]`: what trains.
    pub shift: Param<Tensor<1>>,
    /// Singular values of the base, in falling order, shape `[k]`.
    pub sigma: Param<Tensor<1>>,
    /// `V`, shape `[d_in, k]`, columns orthonormal.
    pub left: Param<Tensor<2>>,
    /// `U^T`, shape `[k, d_out]`, rows orthonormal.
    pub right: Param<Tensor<2>>,
    /// Digest of the base, one byte per number, shape `[32]`.
    base: Param<Tensor<1>>,
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    /// Whether files hold `left` and `right`.
    vectors: bool,
}

/// Bytes of a digest.
const DIGEST: usize = 32;

/// Tensors of a file; the last two where vectors are stored.
static TENSORS: [TensorName; 5] = [
    TensorName::trained("shift", "svfit_shift", Layout::AsIs),
    TensorName::frozen("sigma", "svfit_sigma", Layout::AsIs),
    TensorName::frozen("base", "svfit_base_sha256", Layout::AsIs),
    TensorName::frozen("left", "svfit_V", Layout::AsIs),
    TensorName::frozen("right", "svfit_U", Layout::Transposed),
];

impl Adapter for SvfitAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        if self.vectors {
            TENSORS.to_vec()
        } else {
            TENSORS[..3].to_vec()
        }
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let along = product(pass.dropout(x, self.dropout), self.left.val());
        let scaled = scale_columns(along, self.shift.val(), None, Keep::Input);
        product(scaled, self.right.val())
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let scaled = self.left.val() * self.shift.val().unsqueeze();
        Ok(weight + scaled.matmul(self.right.val()))
    }

    fn facts(&self, _weight: Tensor<2>) -> Vec<Fact> {
        let (shift, sigma) = (self.shift.val(), self.sigma.val());
        let relative = shift.clone() / sigma.clone().clamp_min(f32::MIN_POSITIVE);
        let largest = peft_core::read_number(relative.abs().max());
        let fact = |name, value| Fact { name, value };
        vec![
            fact("singular values", sigma.dims()[0] as f64),
            fact(
                "change of the singular values",
                relative_change(shift, sigma),
            ),
            fact("largest change of one", largest),
        ]
    }

    /// `V diag(sigma - sigma_0)` and `U^T`: a LoRA of rank `k`.
    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        let scaled = self.left.val() * self.shift.val().unsqueeze();
        Some((scaled, self.right.val()))
    }

    fn check_base(&self, base: &BaseLinear<'_>) -> Result<(), String> {
        let stored: Vec<f32> = peft_core::read(self.base.val()).iter::<f32>().collect();
        let actual = digest(base.weight.val(), base.site).map(f32::from);
        if stored == actual {
            return Ok(());
        }
        Err("made for another base model: the digest of its frozen weight differs".into())
    }
}
