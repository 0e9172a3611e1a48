//! MultiLoRA, <https://arxiv.org/abs/2311.11501>: several low-rank products side by side, each behind a gate for every output,
//! `y = x W + bias + scale * sum_i ((dropout(x) A_i) B_i) * g_i`.
//!
//! `A_i [d_in, rank]` and `B_i [rank, d_out]` start Kaiming-uniform, the gates `g_i [d_out]` at zero, so that training starts at exactly
//! the base. Several small products spread an update over more directions than one of the same size.
//!
//! Files are a folder of their own type (`MULTI_LORA`) with `multilora_A.I.weight [rank, d_in]`, `multilora_B.I.weight [d_out, rank]` and
//! `multilora_gate.I [d_out]`; `peft convert --to peft` writes the plain LoRA of rank `count * rank` that it is.
//!
//! Deviation from the paper: it also changes the scale of `A` and `B` at the start, of which only the abstract was read; Kaiming's is kept.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::lora::Scaling;
use peft_core::options::as_map;
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site,
    SiteLayout, Slot, TensorName, init,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::options::Basics;

/// What files call the type.
const PEFT_TYPE: &str = "MULTI_LORA";
/// The field of files that says how many products there are.
const COUNT: &str = "multilora_count";
/// More than anybody uses.
const LARGEST_COUNT: usize = 64;

/// MultiLoRA with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiLora {
    /// How many products each layer has, 1 to 64.
    pub count: usize,
    /// Probability that an input of the factors is dropped while training; one mask for all products.
    pub dropout: f64,
    /// Factor of the products, with the rank of one.
    pub scaling: Scaling,
}

impl Default for MultiLora {
    /// Three products, no dropout, `alpha / rank`.
    fn default() -> Self {
        Self {
            count: 3,
            dropout: 0.0,
            scaling: Scaling::Standard,
        }
    }
}

/// MultiLoRA's entry in a registry of methods.
pub const MULTI_LORA: MethodEntry = MethodEntry {
    id: "multilora",
    name: "MultiLoRA",
    pairs: false,
    alpha: true,
    summary: "several low-rank products side by side, each behind a gate that starts at zero",
    paper: "Wang et al. 2023, MultiLoRA: Democratizing LoRA for Better Multi-Task Learning, arXiv 2311.11501",
    default_options: || as_map(&MultiLora::default()),
    from_options: |options| {
        let method: MultiLora = MethodEntry::parse(MULTI_LORA.id, options)?;
        Ok(Box::new(method.checked()?))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    let Basics { dropout, scaling } = Basics::of(MULTI_LORA.id, config)?;
    let count = config.raw.get(COUNT).and_then(Value::as_u64).unwrap_or(0);
    let method = MultiLora {
        count: usize::try_from(count).unwrap_or(usize::MAX),
        dropout,
        scaling,
    };
    Ok(Box::new(method.checked()?))
}

impl MultiLora {
    fn checked(self) -> Result<Self, PeftError> {
        self.basics().checked(MULTI_LORA.id)?;
        if (1..=LARGEST_COUNT).contains(&self.count) {
            return Ok(self);
        }
        Err(PeftError::Option {
            method: MULTI_LORA.id,
            option: "count".into(),
            problem: format!(
                "expected a number of products from 1 to {LARGEST_COUNT}, found {}",
                self.count
            ),
        })
    }

    fn basics(&self) -> Basics {
        Basics {
            dropout: self.dropout,
            scaling: self.scaling,
        }
    }
}

const A: TensorName = TensorName::trained("a", "multilora_A.weight", Layout::Transposed);
const B: TensorName = TensorName::trained("b", "multilora_B.weight", Layout::Transposed);
const GATE: TensorName = TensorName::trained("gate", "multilora_gate", Layout::AsIs);

/// The names of the tensors of product number `index`.
fn names(index: usize) -> [TensorName; 3] {
    [A, B, GATE].map(|name| name.nth("products", index))
}

impl Method for MultiLora {
    fn entry(&self) -> &'static MethodEntry {
        &MULTI_LORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (d_in, d_out, rank) = (slot.site.d_in, slot.site.d_out, slot.rank);
        let mut rng = slot.rng();
        let products = (0..self.count).map(|index| {
            let [a, b, gate] = names(index);
            let zeros = TensorData::new(vec![0.0f32; d_out], [d_out]);
            Product {
                a: slot.trainable(&a.field, init::kaiming_uniform(d_in, rank, &mut rng)),
                b: slot.trainable(&b.field, init::kaiming_uniform(rank, d_out, &mut rng)),
                gate: slot.trainable(&gate.field, zeros),
            }
        });
        Ok(AnyAdapter::new(MultiLoraAdapter {
            products: products.collect(),
            scale: self.scaling.factor(rank, slot.alpha),
            dropout: self.dropout,
        }))
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        (0..self.count).fold(SiteLayout::default(), |layout, index| {
            let [a, b, gate] = names(index);
            let layout = layout.with(a, [site.d_in, rank]);
            layout.with(b, [rank, site.d_out]).with(gate, [site.d_out])
        })
    }

    fn config_fields(&self) -> Map<String, Value> {
        let own = as_map(&json!({ COUNT: self.count }));
        self.basics().fields(PEFT_TYPE, own)
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// One low-rank product and its gate.
#[derive(Module, Debug)]
pub struct Product {
    /// Down-projection, shape `[d_in, rank]`.
    pub a: Param<Tensor<2>>,
    /// Up-projection, shape `[rank, d_out]`.
    pub b: Param<Tensor<2>>,
    /// Factor of each output, shape `[d_out]`.
    pub gate: Param<Tensor<1>>,
}

/// The products of one layer.
#[derive(Module, Debug)]
pub struct MultiLoraAdapter {
    /// As many as the method's count.
    pub products: Vec<Product>,
    /// Factor of the products.
    pub scale: f64,
    /// Probability that an input of the factors is dropped while training.
    pub dropout: f64,
}

impl MultiLoraAdapter {
    /// `[A_1 .. A_n] * scale` of shape `[d_in, n rank]`, and `B_i` times its gate below each other, `[n rank, d_out]`.
    fn factors(&self) -> (Tensor<2>, Tensor<2>) {
        let a = self
            .products
            .iter()
            .map(|product| product.a.val())
            .collect();
        let gated = self.products.iter().map(|product| {
            let gate = product.gate.val().unsqueeze();
            product.b.val() * gate
        });
        let a = Tensor::cat(a, 1).mul_scalar(self.scale);
        (a, Tensor::cat(gated.collect(), 0))
    }
}

impl Adapter for MultiLoraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        (0..self.products.len()).flat_map(names).collect()
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

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let (a, b) = self.factors();
        Ok(weight + a.matmul(b))
    }

    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        Some(self.factors())
    }
}
