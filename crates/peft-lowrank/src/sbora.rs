//! SBoRA, <https://arxiv.org/abs/2407.05413>: LoRA with one factor made of rows of the identity, so that each update touches `rank` inputs or
//! outputs of a layer: `y = x W + bias + scale * dropout(x)[I] B`, or `y[I] = (x W + bias)[I] + scale * dropout(x) A`.
//!
//! With `side` `input` (FA) `I` are `rank` distinct inputs and `B [rank, d_out]` trains; with `output` (FB) `I` are `rank` distinct outputs and
//! `A [d_in, rank]` trains. What trains starts at zero, and `I` is drawn from the seed and stays. Merging changes `rank` rows or columns
//! of `W` alone.
//!
//! Files are a folder of their own type (`SBORA`) with `sbora_indices [rank]` (I64) and `lora_B.weight [d_out, rank]` or
//! `lora_A.weight [rank, d_in]`; `peft convert --to peft` writes the plain LoRA that it is, with a factor of zeros and ones.

use burn::module::{Module, Param};
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::lora::Scaling;
use peft_core::options::{as_map, own_option};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site,
    SiteLayout, Slot, TensorName, init,
};
use rand::seq::index;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::options::Basics;

/// What files call the type.
const PEFT_TYPE: &str = "SBORA";
/// The field of files that says which side is fixed.
const SIDE: &str = "side";

/// What the fixed factor selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selected {
    /// Inputs of the layer (FA): `B` trains.
    #[default]
    Input,
    /// Outputs of the layer (FB): `A` trains.
    Output,
}

/// SBoRA with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sbora {
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    /// Factor of the product.
    pub scaling: Scaling,
    /// What is selected.
    pub side: Selected,
}

impl Default for Sbora {
    /// Inputs, no dropout, `alpha / rank`.
    fn default() -> Self {
        Self::new(Basics::default(), Selected::Input)
    }
}

/// SBoRA's entry in a registry of methods.
pub const SBORA: MethodEntry = MethodEntry {
    id: "sbora",
    name: "SBoRA",
    pairs: false,
    alpha: true,
    summary: "LoRA whose one factor selects inputs or outputs: each merged layer changes in rank rows or columns",
    paper: "Po et al. 2024, SBoRA: Low-Rank Adaptation with Regional Weight Updates, arXiv 2407.05413",
    default_options: || as_map(&Sbora::default()),
    from_options: |options| {
        let sbora: Sbora = MethodEntry::parse(SBORA.id, options)?;
        sbora.basics().checked(SBORA.id)?;
        Ok(Box::new(sbora))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    let basics = Basics::of(SBORA.id, config)?;
    let side = own_option(SBORA.id, config, SIDE)?;
    Ok(Box::new(Sbora::new(basics, side)))
}

const INDICES: TensorName = TensorName::frozen("indices", "sbora_indices", Layout::AsIs);
const A: TensorName = TensorName::trained("factor", "lora_A.weight", Layout::Transposed);
const B: TensorName = TensorName::trained("factor", "lora_B.weight", Layout::Transposed);

impl Sbora {
    fn new(Basics { dropout, scaling }: Basics, side: Selected) -> Self {
        Self {
            dropout,
            scaling,
            side,
        }
    }

    fn basics(&self) -> Basics {
        Basics {
            dropout: self.dropout,
            scaling: self.scaling,
        }
    }
}

impl Selected {
    /// How many there are to select from.
    fn of(self, site: &Site) -> usize {
        match self {
            Self::Input => site.d_in,
            Self::Output => site.d_out,
        }
    }

    fn trained(self) -> TensorName {
        match self {
            Self::Input => B,
            Self::Output => A,
        }
    }

    fn shape(self, site: &Site, rank: usize) -> [usize; 2] {
        match self {
            Self::Input => [rank, site.d_out],
            Self::Output => [site.d_in, rank],
        }
    }
}

impl Method for Sbora {
    fn entry(&self) -> &'static MethodEntry {
        &SBORA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (rank, limit) = (slot.rank, self.side.of(slot.site));
        if rank > limit {
            return Err(PeftError::Rank {
                site: slot.site.path.clone(),
                rank,
                limit,
            });
        }
        let mut chosen = index::sample(&mut slot.rng(), limit, rank).into_vec();
        chosen.sort_unstable();
        let indices: Vec<i64> = chosen.into_iter().map(|index| index as i64).collect();
        let [rows, columns] = self.side.shape(slot.site, rank);
        Ok(AnyAdapter::new(SboraAdapter {
            indices: slot.integers("indices", TensorData::new(indices, [rank])),
            factor: slot.trainable("factor", init::zeros(rows, columns)),
            scale: self.scaling.factor(rank, slot.alpha),
            dropout: self.dropout,
            side: self.side,
            size: limit,
        }))
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        SiteLayout::default()
            .with(INDICES, [rank])
            .with(self.side.trained(), self.side.shape(site, rank))
    }

    fn config_fields(&self) -> Map<String, Value> {
        let own = as_map(&json!({ SIDE: self.side }));
        self.basics().fields(PEFT_TYPE, own)
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The trained factor of one layer and what the other one selects.
#[derive(Module, Debug)]
pub struct SboraAdapter {
    /// The selected inputs or outputs, shape `[rank]`.
    pub indices: Param<Tensor<1, Int>>,
    /// `B [rank, d_out]` for inputs, `A [d_in, rank]` for outputs.
    pub factor: Param<Tensor<2>>,
    /// Factor of the product.
    pub scale: f64,
    /// Probability that an input of the adapter is dropped while training.
    pub dropout: f64,
    #[module(skip)]
    side: Selected,
    /// How many inputs or outputs there are.
    size: usize,
}

impl SboraAdapter {
    /// `[rows, rank]` to `[rows, d_out]`: each column at the output that it belongs to.
    fn spread(&self, values: Tensor<2>) -> Tensor<2> {
        let zeros = Tensor::zeros([values.dims()[0], self.size], &values.device());
        zeros.select_assign(1, self.indices.val(), values, IndexingUpdateOp::Add)
    }
}

impl Adapter for SboraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        vec![INDICES, self.side.trained()]
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let x = pass.dropout(x, self.dropout).mul_scalar(self.scale);
        let factor = self.factor.val();
        match self.side {
            Selected::Input => x.select(1, self.indices.val()).matmul(factor),
            Selected::Output => self.spread(x.matmul(factor)),
        }
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let update = self.factor.val().mul_scalar(self.scale);
        let axis = match self.side {
            Selected::Input => 0,
            Selected::Output => 1,
        };
        Ok(weight.select_assign(axis, self.indices.val(), update, IndexingUpdateOp::Add))
    }

    fn check_base(&self, _base: &BaseLinear<'_>) -> Result<(), String> {
        let found: Vec<i64> = peft_core::read(self.indices.val()).iter::<i64>().collect();
        let (mut sorted, size) = (found.clone(), self.size as i64);
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() == found.len() && sorted.iter().all(|index| (0..size).contains(index)) {
            return Ok(());
        }
        Err(format!(
            "`{}`: expected {} different indices below {size}, found {found:?}",
            INDICES.file,
            found.len()
        ))
    }

    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        let factor = self.factor.val().mul_scalar(self.scale);
        let rank = self.indices.val().dims()[0];
        let selection = self.spread(Tensor::eye(rank, &factor.device()));
        Some(match self.side {
            Selected::Input => (selection.transpose(), factor),
            Selected::Output => (factor, selection),
        })
    }
}
