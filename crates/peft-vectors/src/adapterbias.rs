//! AdapterBias, <https://arxiv.org/abs/2205.00305>: one direction for each layer, added to every token by as much as a linear function of the
//! token says, `y = x W + bias + (x u + c) v`.
//!
//! `u [d_in]` and the offset `c` start as PyTorch starts a linear layer, in `U(-1 / sqrt(d_in), 1 / sqrt(d_in))`, and `v [d_out]` at zero, so that
//! training starts at exactly the base. The paper adapts the second layer of each feed-forward block and trains the norms after it and
//! the head (`modules_to_save`) along. Rank and alpha have no part in it.
//!
//! Files are a folder of their own type (`ADAPTER_BIAS`) with `adapterbias_u [d_in]`, `adapterbias_v [d_out]` and, where there is an offset,
//! `adapterbias_offset [1]`.
//!
//! Deviation: the authors' option to share `u` and `c` among all layers is left out.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::options::{as_map, check_format_version, own_option};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site,
    SiteLayout, Slot, TensorName, init,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What files call the type.
const PEFT_TYPE: &str = "ADAPTER_BIAS";
/// The field of files that says whether there is an offset.
const OFFSET_FIELD: &str = "offset";

/// AdapterBias with its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterBias {
    /// Whether there is an offset `c`; without it the update is a low-rank product of rank 1, which merges into layers that have no bias too.
    pub offset: bool,
}

impl Default for AdapterBias {
    /// With an offset, as the authors have it.
    fn default() -> Self {
        Self { offset: true }
    }
}

/// AdapterBias' entry in a registry of methods.
pub const ADAPTER_BIAS: MethodEntry = MethodEntry {
    id: "adapterbias",
    name: "AdapterBias",
    pairs: false,
    alpha: false,
    summary: "one direction for each layer, added to every token by as much as a linear function of it says",
    paper: "Fu et al. 2022, AdapterBias: Parameter-efficient Token-dependent Representation Shift for Adapters in NLP Tasks, arXiv 2205.00305",
    default_options: || as_map(&AdapterBias::default()),
    from_options: |options| {
        let method: AdapterBias = MethodEntry::parse(ADAPTER_BIAS.id, options)?;
        Ok(Box::new(method))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    check_format_version(ADAPTER_BIAS.id, config)?;
    let offset: Option<bool> = own_option(ADAPTER_BIAS.id, config, OFFSET_FIELD)?;
    Ok(Box::new(AdapterBias {
        offset: offset.unwrap_or(AdapterBias::default().offset),
    }))
}

const U: TensorName = TensorName::trained("u", "adapterbias_u", Layout::AsIs);
const V: TensorName = TensorName::trained("v", "adapterbias_v", Layout::AsIs);
const OFFSET: TensorName = TensorName::trained("offset", "adapterbias_offset", Layout::AsIs);

impl Method for AdapterBias {
    fn entry(&self) -> &'static MethodEntry {
        &ADAPTER_BIAS
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (d_in, d_out) = (slot.site.d_in, slot.site.d_out);
        let mut rng = slot.rng();
        let mut draw = |count: usize| {
            let drawn = init::kaiming_uniform(d_in, 1, &mut rng);
            let values: Vec<f32> = drawn.iter::<f32>().take(count).collect();
            TensorData::new(values, [count])
        };
        let (u, offset) = (draw(d_in), draw(1));
        let v = TensorData::new(vec![0.0f32; d_out], [d_out]);
        Ok(AnyAdapter::new(AdapterBiasAdapter {
            u: slot.trainable("u", u),
            v: slot.trainable("v", v),
            offset: self.offset.then(|| slot.trainable("offset", offset)),
        }))
    }

    fn layout(&self, site: &Site, _rank: usize, _alpha: f64) -> SiteLayout {
        let layout = SiteLayout::default().with(U, [site.d_in]);
        let layout = layout.with(V, [site.d_out]);
        match self.offset {
            true => layout.with(OFFSET, [1]),
            false => layout,
        }
    }

    fn config_fields(&self) -> Map<String, Value> {
        as_map(&json!({ "peft_type": PEFT_TYPE, "format_version": 1, OFFSET_FIELD: self.offset }))
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The direction of one layer and what says how far each token goes along it.
#[derive(Module, Debug)]
pub struct AdapterBiasAdapter {
    /// What a token is measured by, shape `[d_in]`.
    pub u: Param<Tensor<1>>,
    /// The direction, shape `[d_out]`.
    pub v: Param<Tensor<1>>,
    /// What is added to the measure of every token, shape `[1]`.
    pub offset: Option<Param<Tensor<1>>>,
}

impl AdapterBiasAdapter {
    /// `u [d_in, 1]` and `v [1, d_out]`.
    fn factors(&self) -> (Tensor<2>, Tensor<2>) {
        let u = self.u.val().unsqueeze_dim(1);
        (u, self.v.val().unsqueeze())
    }
}

impl Adapter for AdapterBiasAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        let offset = self.offset.as_ref().map(|_| OFFSET);
        [U, V].into_iter().chain(offset).collect()
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        _pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let (u, v) = self.factors();
        let measure = x.matmul(u);
        let measure = match &self.offset {
            Some(offset) => measure + offset.val().unsqueeze(),
            None => measure,
        };
        measure * v
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let (u, v) = self.factors();
        Ok(weight + u.matmul(v))
    }

    fn effective_bias(&self, bias: Tensor<1>) -> Tensor<1> {
        match &self.offset {
            Some(offset) => bias + self.v.val() * offset.val(),
            None => bias,
        }
    }

    fn needs_bias(&self) -> bool {
        self.offset.is_some()
    }

    /// Exact where there is no offset, which is a change of the bias.
    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        self.offset.is_none().then(|| self.factors())
    }
}
