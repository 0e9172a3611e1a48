//! HRA, <https://arxiv.org/abs/2405.17484>: the input goes through a chain of Householder reflections before the frozen product,
//! `y = x H_r .. H_1 W + bias` with `H_i = I - 2 u_i u_i^T / |u_i|^2` and `u_i [d_in]`, one for each of the rank.
//!
//! Vectors start in pairs of the same values: the two reflections of a pair cancel, so that training starts at the base, up to
//! rounding. An odd rank has one more vector, whose reflection the start already has, as has every rank with `apply_gs`.
//!
//! The chain is computed as `x H_r .. H_1 = x - (x U) T^T U^T`, with `T [rank, rank]` the inverse of `I / 2 + ` the part of `U^T U` above the diagonal
//! (Bischof and Van Loan 1987): two products with `U [d_in, rank]`, as LoRA has them, whatever the rank.
//!
//! With `apply_gs` the vectors are made orthogonal first (Gram and Schmidt), `T = 2 (U^T U)^-1`.
//!
//! Files are those of Hugging Face PEFT (`HRA`): `hra_u [d_in, rank]`.
//!
//! Deviations from PEFT: vectors are drawn from a normal distribution, so that every direction is as likely, where PEFT's is uniform for each entry;
//! of an odd rank all vectors but the last are pairs, where PEFT draws every one by itself.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::options::{as_map, own_option, peft_fields, with_rare};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site,
    SiteLayout, Slot, TensorName, init,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::inverse::{identity, inverse};

/// What files call the type.
const PEFT_TYPE: &str = "HRA";
/// The field of files that says whether vectors are made orthogonal.
const APPLY_GS: &str = "apply_GS";
/// Settings that PEFT's configurations of HRA have no field for.
const RARE: [&str; 2] = ["fan_in_fan_out", "rank_pattern"];

/// HRA with its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hra {
    /// Whether the vectors are made orthogonal to each other before they reflect.
    pub apply_gs: bool,
}

/// HRA's entry in a registry of methods.
pub const HRA: MethodEntry = MethodEntry {
    id: "hra",
    name: "HRA",
    pairs: false,
    alpha: false,
    summary: "a chain of Householder reflections before each frozen product",
    paper: "Yuan et al. 2024, Bridging The Gap between Low-rank and Orthogonal Adaptation via Householder Reflection Adaptation, arXiv 2405.17484",
    default_options: || as_map(&Hra::default()),
    from_options: |options| {
        let hra: Hra = MethodEntry::parse(HRA.id, options)?;
        Ok(Box::new(hra))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config: |config| {
        let apply_gs = own_option(HRA.id, config, APPLY_GS)?;
        Ok(Box::new(Hra { apply_gs }))
    },
};

const U: TensorName = TensorName::trained("u", "hra_u", Layout::AsIs);

impl Method for Hra {
    fn entry(&self) -> &'static MethodEntry {
        &HRA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (d_in, rank) = (slot.site.d_in, slot.rank);
        if rank > d_in {
            return Err(PeftError::Rank {
                site: slot.site.path.clone(),
                rank,
                limit: d_in,
            });
        }
        // How many columns have the same values, of the deviation that PEFT's uniform ones have.
        let alike = if self.apply_gs { 1 } else { 2 };
        let count = rank.div_ceil(alike);
        let std = (3.0 * count as f64).sqrt().recip();
        let vectors = init::gaussian(count, d_in, std, &mut slot.rng());
        let vectors: Vec<f32> = vectors.iter::<f32>().collect();
        let u = (0..d_in).flat_map(|input| (0..rank).map(move |at| (input, at / alike)));
        let u: Vec<f32> = u.map(|(input, at)| vectors[at * d_in + input]).collect();
        Ok(AnyAdapter::new(HraAdapter {
            u: slot.trainable("u", TensorData::new(u, [d_in, rank])),
            apply_gs: self.apply_gs,
        }))
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        SiteLayout::default().with(U, [site.d_in, rank])
    }

    fn config_fields(&self) -> Map<String, Value> {
        let own = json!({
            "peft_type": PEFT_TYPE,
            APPLY_GS: self.apply_gs,
            "init_weights": true,
        });
        let others = [&RARE[..], &["alpha_pattern", "lora_alpha"]].concat();
        peft_fields(&own, &others)
    }

    fn fields_beside(&self, config: &PeftConfig) -> Map<String, Value> {
        with_rare(self.config_fields(), &RARE, config)
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The vectors of one layer.
#[derive(Module, Debug)]
pub struct HraAdapter {
    /// What the reflections turn round, of any length, shape `[d_in, rank]`.
    pub u: Param<Tensor<2>>,
    apply_gs: bool,
}

/// Newton steps for `U^T U`: to the last digit where its smallest eigenvalue is a hundred-thousandth of the rank. The triangular matrix needs
/// one for each doubling of its size, and a few against rounding.
const STEPS: usize = 20;
const STEPS_AGAINST_ROUNDING: usize = 3;

impl HraAdapter {
    /// `U [d_in, rank]`, columns of length 1, and `T^T [rank, rank]`.
    fn factors(&self) -> (Tensor<2>, Tensor<2>) {
        let u = self.u.val();
        let u = u.clone() / u.powi_scalar(2).sum_dim(0).sqrt();
        let products = u.clone().transpose().matmul(u.clone());
        let rank = products.dims()[0];
        let (matrix, steps) = match self.apply_gs {
            true => (products, STEPS),
            false => {
                let doublings = rank.next_power_of_two().ilog2() as usize;
                let above = products.triu(1) * 2.0;
                let one = Tensor::eye(rank, &above.device());
                (one + above, doublings + STEPS_AGAINST_ROUNDING)
            }
        };
        let matrix: Tensor<3> = matrix.unsqueeze();
        let start = match self.apply_gs {
            true => identity(&matrix) / rank as f64,
            false => identity(&matrix),
        };
        let inverse = inverse(matrix, start, steps) * 2.0;
        (u, inverse.squeeze_dim::<2>(0).transpose())
    }

    /// `(x U) T^T U^T`: what the reflections take off `x`.
    fn taken_off(&self, x: Tensor<2>) -> Tensor<2> {
        let (u, t) = self.factors();
        x.matmul(u.clone()).matmul(t).matmul(u.transpose())
    }
}

impl Adapter for HraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        vec![U]
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        base: &BaseLinear<'_>,
        _pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        base.product(self.taken_off(x).neg())
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, _pass: &mut Pass<'_>) -> Tensor<2> {
        base.output(x.clone() - self.taken_off(x))
    }

    fn replaces_base(&self) -> bool {
        true
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let (u, t) = self.factors();
        let along = t.matmul(u.clone().transpose().matmul(weight.clone()));
        Ok(weight - u.matmul(along))
    }
}
