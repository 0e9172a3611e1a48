//! EigenLoRAx, <https://arxiv.org/abs/2502.04700>: `y = x W + bias + (dropout(x) C_A L_A) (L_B C_B)`, the components `C_A [d_in, k_a]` and
//! `C_B [k_b, d_out]` frozen, the loadings `L_A [k_a, rank]` and `L_B [rank, k_b]` trained.
//!
//! The components are those of a [`crate::Basis`], which other adapters of the same base model have in common; without a basis they are random
//! orthonormal directions, the same for a seed and a site. The factors `C_A L_A` and `L_B C_B` are made first, so that a step costs what
//! LoRA's does.
//!
//! With `variant = flat`, the form of the published vision experiments, a component is a whole factor, row by row of `[rank, d_in]` (of B
//! `[rank, d_out]`), and a loading one number: `vec(A) = sum_j l_j c_j` and likewise B. An adapter is then `k_a + k_b` numbers per layer, whatever its
//! rank, which is that of all adapters of the basis. Files hold `loadings_A [1, k_a]`, `loadings_B [1, k_b]`, `components_A [k_a, rank * d_in]` and
//! `components_B [k_b, rank * d_out]`.
//!
//! Files are of an own type (`EIGENLORAX`): `loadings_A [rank, k_a]`, `loadings_B [k_b, rank]` and, unless left out, `components_A [k_a, d_in]`
//! and `components_B [k_b, d_out]`, one direction a row. The result is exactly a LoRA of its rank, which `peft convert --to peft` writes.
//!
//! Deviations: `L_B` starts at zero by default, so that training starts from the base; the published code draws both factors from
//! `U(-0.5, 0.5)`. There is dropout. As in the published code there is no scale: alpha is not used.

mod loadings;
mod source;

use std::path::PathBuf;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use peft_core::options::{as_map, check_dropout, check_format_version};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, LowRankPair, Method, MethodEntry, Pass, PeftError,
    Site, SiteLayout, Slot, TensorName,
};
use peft_format::file::PeftConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::options::Variant;
use source::Source;

/// What files call the type.
const PEFT_TYPE: &str = "EIGENLORAX";
/// The field of files with the number of components of each site, where those are a basis's.
const COUNTS: &str = "component_counts";

/// What the loadings start as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadingsInit {
    /// `L_A` from `U(-1/sqrt(d_in), 1/sqrt(d_in))` (of whole factors `U(-sqrt(rank/k_a), sqrt(rank/k_a))`, which gives A the norm of
    /// LoRA's) and `L_B` zero: training starts from exactly the base.
    #[default]
    ZeroB,
    /// Both from `U(-0.5, 0.5)`, as published.
    Uniform,
    /// The mean of the loadings of all adapters in the basis that have the rank.
    Mean,
    /// Those of the adapter in `project`, as the basis sees it.
    Project,
}

/// EigenLoRAx with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EigenLoraX {
    /// Folder of the basis; random orthonormal components when absent.
    pub basis: Option<PathBuf>,
    /// What one component is: a direction of single columns, or a whole factor. The basis's when absent, or columns.
    pub variant: Option<Variant>,
    /// Without a basis: how many components each factor has, as far as its size allows.
    pub components: usize,
    /// Without a basis: decides the components.
    pub components_seed: u64,
    /// What the loadings start as.
    pub init: LoadingsInit,
    /// With `init = project`: the adapter folder to start from.
    pub project: Option<PathBuf>,
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    /// Whether files hold the components too; without, they are read from the basis, or drawn, again.
    pub save_components: bool,
}

impl Default for EigenLoraX {
    /// 32 random components, loadings that start from the base, components in the files.
    fn default() -> Self {
        Self {
            basis: None,
            variant: None,
            components: 32,
            components_seed: 0,
            init: LoadingsInit::default(),
            project: None,
            dropout: 0.0,
            save_components: true,
        }
    }
}

/// The entry of EigenLoRAx in a registry of methods.
pub const EIGENLORAX: MethodEntry = MethodEntry {
    id: "eigenlorax",
    name: "EigenLoRAx",
    pairs: false,
    alpha: false,
    summary: "coordinates in a subspace that other adapters of the same base share",
    paper: "Kaushik et al. 2025, EigenLoRAx: Recycling Adapters to Find Principal Subspaces for Resource-Efficient Adaptation and Inference, \
            arXiv 2502.04700",
    default_options: || as_map(&EigenLoraX::default()),
    from_options: |options| {
        let options: EigenLoraX = MethodEntry::parse(EIGENLORAX.id, options)?;
        let source = Source::of_options(&options)?;
        Ok(Box::new(EigenLoraXMethod { options, source }))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    check_format_version(EIGENLORAX.id, config)?;
    let known = as_map(&EigenLoraX::default());
    let mut own = config.raw.clone();
    own.retain(|name, value| known.contains_key(name) && !value.is_null());
    own.insert("dropout".into(), json!(config.lora_dropout));
    let options: EigenLoraX = MethodEntry::parse(EIGENLORAX.id, &own)?;
    check_dropout(EIGENLORAX.id, options.dropout)?;
    let source = Source::of_file(&options, config)?;
    Ok(Box::new(EigenLoraXMethod { options, source }))
}

/// The method with its components at hand.
#[derive(Debug, Clone)]
pub struct EigenLoraXMethod {
    options: EigenLoraX,
    source: Source,
}

impl Method for EigenLoraXMethod {
    fn entry(&self) -> &'static MethodEntry {
        &EIGENLORAX
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let components = self.source.components(slot.site, slot.rank)?;
        let loadings = self.source.loadings(&self.options, slot)?;
        Ok(AnyAdapter::new(EigenLoraXAdapter {
            loadings_a: slot.trainable("loadings_a", loadings.a),
            loadings_b: slot.trainable("loadings_b", loadings.b),
            components_a: slot.frozen("components_a", components.a),
            components_b: slot.frozen("components_b", components.b),
            rank: slot.rank,
            variant: self.source.variant(),
            dropout: self.options.dropout,
            save_components: self.options.save_components,
        }))
    }

    /// `rank * (k_a + k_b)` numbers train; `k_a + k_b` with whole factors.
    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        let (k_a, k_b) = self.source.counts(site, rank).unwrap_or((0, 0));
        let whole = |size: usize| rank.saturating_mul(size);
        let shapes = match self.source.variant() {
            Variant::Columns => [
                [k_a, rank],
                [rank, k_b],
                [site.d_in, k_a],
                [k_b, site.d_out],
            ],
            Variant::Flat => [
                [1, k_a],
                [1, k_b],
                [k_a, whole(site.d_in)],
                [k_b, whole(site.d_out)],
            ],
        };
        let names = names(self.source.variant(), self.options.save_components);
        let stored = names.iter().zip(shapes);
        stored.fold(SiteLayout::default(), |layout, (name, shape)| {
            layout.with(name.clone(), shape)
        })
    }

    fn config_fields(&self) -> Map<String, Value> {
        let mut fields = as_map(&self.options);
        fields.remove("dropout");
        fields.insert("variant".into(), json!(self.source.variant()));
        fields.insert("peft_type".into(), json!(PEFT_TYPE));
        fields.insert("format_version".into(), json!(1));
        fields.insert("lora_dropout".into(), json!(self.options.dropout));
        fields.insert(COUNTS.into(), json!(self.source.all_counts()));
        fields
    }

    fn options(&self) -> Map<String, Value> {
        as_map(&self.options)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The trained loadings at one site, and the frozen directions they belong to.
#[derive(Module, Debug)]
pub struct EigenLoraXAdapter {
    /// `L_A`, shape `[k_a, rank]`; of whole factors `[1, k_a]`.
    pub loadings_a: Param<Tensor<2>>,
    /// `L_B`, shape `[rank, k_b]`; of whole factors `[1, k_b]`.
    pub loadings_b: Param<Tensor<2>>,
    /// `C_A`, shape `[d_in, k_a]`, columns orthonormal; of whole factors `[k_a, rank * d_in]`, rows orthonormal.
    pub components_a: Param<Tensor<2>>,
    /// `C_B`, shape `[k_b, d_out]`, rows orthonormal; of whole factors `[k_b, rank * d_out]`.
    pub components_b: Param<Tensor<2>>,
    /// Rank of the factors.
    pub rank: usize,
    /// What one component is.
    #[module(skip)]
    pub variant: Variant,
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    /// Whether files hold the components.
    save_components: bool,
}

impl EigenLoraXAdapter {
    /// `(A [d_in, rank], B [rank, d_out])`.
    fn factors(&self) -> (Tensor<2>, Tensor<2>) {
        let b = self.loadings_b.val().matmul(self.components_b.val());
        match self.variant {
            Variant::Columns => (self.components_a.val().matmul(self.loadings_a.val()), b),
            Variant::Flat => {
                let a = self.loadings_a.val().matmul(self.components_a.val());
                let factor = |row: Tensor<2>| {
                    let width = row.dims()[1] / self.rank;
                    row.reshape([self.rank, width])
                };
                (factor(a).transpose(), factor(b))
            }
        }
    }
}

/// Tensors of a file; the last two where components are stored. Of A both are stored as `a`, the loadings of B as `b`.
const fn tensors(a: Layout, b: Layout) -> [TensorName; 4] {
    [
        TensorName::trained("loadings_a", "loadings_A", a),
        TensorName::trained("loadings_b", "loadings_B", b),
        TensorName::frozen("components_a", "components_A", a),
        TensorName::frozen("components_b", "components_B", Layout::AsIs),
    ]
}

static OF_COLUMNS: [TensorName; 4] = tensors(Layout::Transposed, Layout::Transposed);
static OF_FACTORS: [TensorName; 4] = tensors(Layout::AsIs, Layout::AsIs);

fn names(variant: Variant, save_components: bool) -> &'static [TensorName] {
    let tensors = match variant {
        Variant::Columns => &OF_COLUMNS,
        Variant::Flat => &OF_FACTORS,
    };
    &tensors[..if save_components { 4 } else { 2 }]
}

impl Adapter for EigenLoraXAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        names(self.variant, self.save_components).to_vec()
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let (a, b) = self.factors();
        pass.dropout(x, self.dropout).matmul(a).matmul(b)
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        let (a, b) = self.factors();
        let input = pass.dropped(&x, self.dropout);
        let scale = 1.0;
        base.output_with(x, LowRankPair { a, b, scale, input })
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let (a, b) = self.factors();
        Ok(weight + a.matmul(b))
    }

    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        Some(self.factors())
    }
}
