//! HiRA, Huang et al. 2025, <https://openreview.net/forum?id=TwJrTz9cRS>: the update is the frozen weight times a low-rank product, element by
//! element, `y = x W + bias + dropout(x) (W * (A B))`, with `A [d_in, rank]`, `B [rank, d_out]`; its rank may be that of `W`.
//!
//! `A` starts Kaiming-uniform (or Gaussian), `B` at zero, so that training starts at exactly the base. There is no alpha.
//!
//! Without dropout the output is one product, `x (W * (1 + A B)) + bias`. The weight of the update is formed: the order of products that
//! avoids it, `sum_r ((x * A_r) W) * B_r`, costs `rank` products with `W`.
//!
//! Files are those of Hugging Face PEFT (`HIRA`): `hira_A [rank, d_in]` and `hira_B [d_out, rank]` for each layer. All layers have one rank:
//! PEFT 0.21 writes a `rank_pattern` of HiRA and does not follow it.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};
use peft_core::file::PeftConfig;
use peft_core::lora::LoraInit;
use peft_core::options::{as_map, check_dropout, own_option, peft_fields, refuse_untyped};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site,
    SiteLayout, Slot, TensorName, cast,
};
use peft_kernels::product;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::options::refuse_orthogonal;

/// What files call the type.
const PEFT_TYPE: &str = "HIRA";

/// HiRA with its options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HiRa {
    /// Probability that an input of the update is dropped while training.
    pub dropout: f64,
    /// Initial value of `A`.
    pub init: LoraInit,
}

/// HiRA's entry in a registry of methods.
pub const HIRA: MethodEntry = MethodEntry {
    id: "hira",
    name: "HiRA",
    pairs: false,
    alpha: false,
    summary: "the frozen weight times a low-rank product, element by element",
    paper: "Huang et al. 2025, HiRA: Parameter-Efficient Hadamard High-Rank Adaptation for Large Language Models, ICLR 2025",
    default_options: || as_map(&HiRa::default()),
    from_options: |options| {
        let method: HiRa = MethodEntry::parse(HIRA.id, options)?;
        check_dropout(HIRA.id, method.dropout)?;
        refuse_orthogonal(HIRA.id, method.init)?;
        Ok(Box::new(method))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    refuse_untyped(config)?;
    let dropout = own_option(HIRA.id, config, "hira_dropout")?;
    check_dropout(HIRA.id, dropout)?;
    let init = match config.raw.get("init_weights").and_then(Value::as_str) {
        Some(name) if name.eq_ignore_ascii_case("gaussian") => LoraInit::Gaussian,
        _ => LoraInit::Kaiming,
    };
    Ok(Box::new(HiRa { dropout, init }))
}

const A: TensorName = TensorName::trained("a", "hira_A", Layout::Transposed);
const B: TensorName = TensorName::trained("b", "hira_B", Layout::Transposed);

impl Method for HiRa {
    fn entry(&self) -> &'static MethodEntry {
        &HIRA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (d_in, d_out, rank) = (slot.site.d_in, slot.site.d_out, slot.rank);
        let (a, b) = self.init.draw(d_in, d_out, rank, &mut slot.rng());
        Ok(AnyAdapter::new(HiRaAdapter {
            a: slot.trainable("a", a),
            b: slot.trainable("b", b),
            dropout: self.dropout,
        }))
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        SiteLayout::default()
            .with(A, [site.d_in, rank])
            .with(B, [rank, site.d_out])
    }

    fn config_fields(&self) -> Map<String, Value> {
        peft_fields(
            &json!({
                "peft_type": PEFT_TYPE,
                "hira_dropout": self.dropout,
                "init_weights": match self.init {
                    LoraInit::Gaussian => json!("gaussian"),
                    _ => json!(true),
                },
                "lora_alpha": null,
                "rank_pattern": null,
                "alpha_pattern": null,
                "bias": null,
            }),
            &[],
        )
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
pub struct HiRaAdapter {
    /// Down-projection, shape `[d_in, rank]`.
    pub a: Param<Tensor<2>>,
    /// Up-projection, shape `[rank, d_out]`.
    pub b: Param<Tensor<2>>,
    /// Probability that an input of the update is dropped while training.
    pub dropout: f64,
}

impl HiRaAdapter {
    /// `W * (A B)` of a weight `[d_in, d_out]` in f32.
    fn update(&self, weight: Tensor<2>) -> Tensor<2> {
        weight * self.a.val().matmul(self.b.val())
    }
}

/// The frozen weight in f32.
fn weight_of(base: &BaseLinear<'_>) -> Tensor<2> {
    cast(base.weight.val(), DType::F32)
}

impl Adapter for HiRaAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        vec![A, B]
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let x = pass.dropout(x, self.dropout);
        product(x, self.update(weight_of(base)))
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        let y = match pass.dropped(&x, self.dropout) {
            Some(dropped) => base.product(x) + product(dropped, self.update(weight_of(base))),
            None => {
                let weight = weight_of(base);
                product(x, weight.clone() + self.update(weight))
            }
        };
        base.add_bias(y)
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Ok(weight.clone() + self.update(weight))
    }
}
