//! BoRA, <https://arxiv.org/abs/2412.06441>: `y = a (.) ((c (.) x) V) + bias`, `V = W + scale * A B`, a trained magnitude per
//! output (row) and per input (column): `a = m_r / ||V||_row`, `c = m_c / ||a (.) V||_column`.
//!
//! where `A [d_in, rank]` starts random, `B [rank, d_out]` at zero, `m_r [d_out]` and `m_c [d_in]` at the norms of `W`'s rows and
//! columns, so that training starts at the base. Rows and columns are those of the weight as Hugging Face stores it,
//! `[d_out, d_in]`. Both norms come from the factors (see `norms.rs`).
//!
//! - `detach = both` (default) takes both norms as constants in the backward pass, as DoRA does. Unlike for DoRA's magnitude this
//!   changes a gradient: `m_r` times any positive number gives the same weight, so its true gradient has no component along
//!   itself (`detach = none`), and the detached one has.
//! - `order = rows_first` (default) as written above; `columns_first` swaps the stages. Both start at the base and train differently.
//! - Dropout acts on the input of `A` alone: `y = a (.) ((c (.) x) W + scale * ((c (.) drop(x)) A) B) + bias`.
//!
//! Files hold `lora_A.weight [rank, d_in]`, `lora_B.weight [d_out, rank]`, `bora_magnitude_rows [d_out]` and
//! `bora_magnitude_columns [d_in]`.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use peft_core::file::PeftConfig;
use peft_core::lora::{LoraInit, Scaling};
use peft_core::options::{as_map, check_dropout};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Fact, Factor, FactorPair, Layout, Method, MethodEntry, Pass,
    PeftError, Site, SiteLayout, Slot, TensorName,
};
use peft_kernels::{Keep, scale_columns};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::factors::Factors;
use crate::norms::{Side, Sum, change, checked_squares, in_f32, norm, squares};
use peft_core::options::{check_format_version, own_option};

/// Which norms are constants in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detach {
    /// None: the true gradient.
    None,
    /// Both, by DoRA's convention.
    #[default]
    Both,
}

/// Which magnitude is applied first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Rows, then columns: the norms of the columns are the magnitudes at the end.
    #[default]
    RowsFirst,
    /// Columns, then rows: the norms of the rows are.
    ColumnsFirst,
}

/// BoRA with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bora {
    /// Probability that an input of `A` is dropped while training.
    pub dropout: f64,
    /// Initial value of `A`.
    pub init: LoraInit,
    /// Factor of the product.
    pub scaling: Scaling,
    /// Which norms are constants in the backward pass.
    pub detach: Detach,
    /// Which magnitude is applied first.
    pub order: Order,
}

impl Default for Bora {
    /// No dropout, Kaiming-uniform `A`, `alpha / rank`, both norms detached, rows first.
    fn default() -> Self {
        Self {
            dropout: 0.0,
            init: LoraInit::Kaiming,
            scaling: Scaling::Standard,
            detach: Detach::Both,
            order: Order::RowsFirst,
        }
    }
}

/// The entry of BoRA in a registry of methods.
pub const BORA: MethodEntry = MethodEntry {
    id: "bora",
    name: "BoRA",
    pairs: true,
    alpha: true,
    summary: "LoRA for the directions of the weight, trained magnitudes per output and per input",
    paper: "Wang et al. 2024, BoRA: Bi-dimensional Weight-Decomposed Low-Rank Adaptation, arXiv 2412.06441",
    default_options: || as_map(&Bora::default()),
    from_options: Bora::from_options,
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config: Bora::from_config,
};

/// Value of `peft_type` in files.
const PEFT_TYPE: &str = "BORA";

impl Bora {
    fn from_options(options: &Map<String, Value>) -> Result<Box<dyn Method>, PeftError> {
        let method: Self = MethodEntry::parse(BORA.id, options)?;
        check_dropout(BORA.id, method.dropout)?;
        Ok(Box::new(method))
    }

    fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
        check_format_version(BORA.id, config)?;
        check_dropout(BORA.id, config.lora_dropout)?;
        Ok(Box::new(Self {
            dropout: config.lora_dropout,
            init: LoraInit::Kaiming,
            scaling: Scaling::of(config),
            detach: own_option(BORA.id, config, "detach")?,
            order: own_option(BORA.id, config, "order")?,
        }))
    }
}

impl Method for Bora {
    fn entry(&self) -> &'static MethodEntry {
        &BORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let rows = checked_squares(slot, Side::Output)?;
        let columns = checked_squares(slot, Side::Input)?;
        let start =
            |squares: &Tensor<2>| peft_core::read(squares.clone().sqrt().reshape::<1, _>([-1]));
        let flat = |name, squares| slot.trainable::<1>(name, start(squares));
        Ok(AnyAdapter::new(BoraAdapter {
            factors: Factors::start(slot, self.init, self.scaling),
            rows: flat("rows", &rows),
            columns: flat("columns", &columns),
            squares: match self.order {
                Order::RowsFirst => rows,
                Order::ColumnsFirst => columns,
            },
            dropout: self.dropout,
            detach: self.detach,
            order: self.order,
        }))
    }

    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        Factors::layout(site, rank, alpha, self.scaling)
            .with(TENSORS[2].clone(), [site.d_out])
            .with(TENSORS[3].clone(), [site.d_in])
    }

    fn config_fields(&self) -> Map<String, Value> {
        as_map(&json!({
            "peft_type": PEFT_TYPE,
            "format_version": 1,
            "lora_dropout": self.dropout,
            "use_rslora": self.scaling == Scaling::RankStabilized,
            "detach": self.detach,
            "order": self.order,
        }))
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The trainable state at one site.
#[derive(Module, Debug)]
pub struct BoraAdapter {
    /// The low-rank pair.
    pub factors: Factors,
    /// Magnitude of each output, shape `[d_out]`.
    pub rows: Param<Tensor<1>>,
    /// Magnitude of each input, shape `[d_in]`.
    pub columns: Param<Tensor<1>>,
    /// Squared norms of the frozen weight that the first stage needs: `[1, d_out]`, or `[d_in, 1]` with columns first.
    squares: Tensor<2>,
    /// Probability that an input of `A` is dropped while training.
    pub dropout: f64,
    /// Which norms are constants in the backward pass.
    #[module(skip)]
    pub detach: Detach,
    /// Which magnitude is applied first.
    #[module(skip)]
    pub order: Order,
}

impl BoraAdapter {
    /// `(a [1, d_out], c [d_in, 1])` such that `W' = c (.) V (.) a`; `first` and `second` give the norms of the two stages.
    fn scales(
        &self,
        first: impl FnOnce(Side) -> Tensor<2>,
        second: impl FnOnce(Side, Tensor<2>) -> Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>) {
        let over = |magnitude: &Param<Tensor<1>>, norms: Tensor<2>| {
            let shape = norms.dims();
            magnitude.val().reshape(shape) / norms
        };
        match self.order {
            Order::RowsFirst => {
                let a = over(&self.rows, first(Side::Output));
                let c = over(&self.columns, second(Side::Input, self.held(a.clone())));
                (a, c)
            }
            Order::ColumnsFirst => {
                let c = over(&self.columns, first(Side::Input));
                let a = over(&self.rows, second(Side::Output, self.held(c.clone())));
                (a, c)
            }
        }
    }

    /// The value as norms see it.
    fn held(&self, value: Tensor<2>) -> Tensor<2> {
        match self.detach {
            Detach::Both => value.detach(),
            Detach::None => value,
        }
    }

    fn sum(&self, weight: Factor) -> Sum {
        let sum = self.factors.beside(weight);
        match self.detach {
            Detach::Both => sum.detach(),
            Detach::None => sum,
        }
    }

    /// `(z, a)` of `y = z (.) a + bias`.
    fn before_rows(
        &self,
        x: Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> (Tensor<2>, Tensor<2>) {
        let sum = self.sum(base.weight.factor());
        let (a, c) = self.scales(
            |side| sum.norms(side, self.squares.clone()),
            |side, scales| sum.scaled_norms(side, &scales),
        );
        let product = base.scaled_product(x.clone(), c.clone().reshape([-1]));
        let low = self
            .factors
            .scaled_product(pass.dropout(x, self.dropout), c);
        (product + low, a)
    }
}

const TENSORS: [TensorName; 4] = [
    Factors::A,
    Factors::B,
    TensorName::trained("rows", "bora_magnitude_rows", Layout::AsIs),
    TensorName::trained("columns", "bora_magnitude_columns", Layout::AsIs),
];

impl Adapter for BoraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        TENSORS.to_vec()
    }

    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let (z, a) = self.before_rows(x, base, pass);
        z * a - product.clone()
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        let (z, a) = self.before_rows(x, base, pass);
        let bias = base.bias_as(z.dtype());
        scale_columns(z, a.reshape([-1]), bias, Keep::Output)
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let dense = self.factors.beside(weight).dense();
        let seen = self.held(dense.clone());
        let (a, c) = self.scales(
            |side| norm(squares(&seen, side)),
            |side, scales| norm(squares(&(seen.clone() * scales), side)),
        );
        Ok(dense * a * c)
    }

    fn facts(&self, weight: Tensor<2>) -> Vec<Fact> {
        let weight = in_f32(weight);
        let fact = |name, magnitude: &Param<Tensor<1>>, side| Fact {
            name,
            value: change(magnitude.val(), &weight, side),
        };
        vec![
            fact("change of the row magnitudes", &self.rows, Side::Output),
            fact(
                "change of the column magnitudes",
                &self.columns,
                Side::Input,
            ),
        ]
    }

    fn pairs(&self) -> Vec<FactorPair> {
        vec![self.factors.pair()]
    }
}
