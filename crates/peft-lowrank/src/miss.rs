//! MiSS (first called Bone), <https://arxiv.org/abs/2409.15371>: the inputs in shards of `rank` share one block of weights,
//! `y = x W + bias + (sum_i dropout(x)_i) S`, with `x_i` the i-th `rank` inputs of a row and `S [rank, d_out]`.
//!
//! The last shard is filled up with zeros. `S` starts at zero, so that training starts at exactly the base; nothing is drawn, and there is no
//! alpha. With `mini_r` above 0, which divides `d_out`, the outputs too share: `S [rank, mini_r]` is repeated along them.
//!
//! Files are those of Hugging Face PEFT (`MISS`): `miss_block [rank, d_out]` for each layer, or `[rank, mini_r]`.
//!
//! Deviation: the variant `bat` of PEFT, whose update depends on the frozen weight, is refused.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use peft_core::file::PeftConfig;
use peft_core::options::{as_map, check_dropout, own_option, peft_fields, refuse_untyped};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site, SiteKind,
    SiteLayout, Slot, TensorName, init,
};
use peft_kernels::product;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What files call the type.
const PEFT_TYPE: &str = "MISS";
/// The field of files that says how the block starts, and with that which variant it is.
const INIT: &str = "init_weights";
const MINI_R: &str = "mini_r";

/// MiSS with its options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Miss {
    /// Probability that an input is dropped while training.
    pub dropout: f64,
    /// How many outputs have weights of their own, which the others share; 0 for all.
    pub mini_r: usize,
}

/// MiSS's entry in a registry of methods.
pub const MISS: MethodEntry = MethodEntry {
    id: "miss",
    name: "MiSS",
    pairs: false,
    alpha: false,
    summary: "one block of weights that all shards of the inputs share",
    paper: "Kang and Yin 2024, MiSS: Revisiting the Trade-off in LoRA with an Efficient Shard-Sharing Structure, arXiv 2409.15371",
    default_options: || as_map(&Miss::default()),
    from_options: |options| {
        let method: Miss = MethodEntry::parse(MISS.id, options)?;
        check_dropout(MISS.id, method.dropout)?;
        Ok(Box::new(method))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    refuse_untyped(config)?;
    let dropout = own_option(MISS.id, config, "miss_dropout")?;
    check_dropout(MISS.id, dropout)?;
    let mini_r = match config.raw.get(INIT) {
        None | Some(Value::Null | Value::Bool(_)) => 0,
        Some(Value::String(name)) if name == "mini" => {
            let mini_r: Option<usize> = own_option(MISS.id, config, MINI_R)?;
            mini_r.unwrap_or(1)
        }
        Some(other) => {
            return Err(PeftError::Unsupported {
                problems: vec![format!(
                    "`{INIT}` = {other}: expected a boolean or \"mini\"; the update of other variants depends on the frozen weight: \
                     train again without it, or merge the adapter in Python PEFT"
                )],
            });
        }
    };
    Ok(Box::new(Miss { dropout, mini_r }))
}

const BLOCK: TensorName = TensorName::trained("block", "miss_block", Layout::AsIs);

impl Miss {
    /// How many outputs have weights of their own.
    fn width(&self, d_out: usize) -> usize {
        match self.mini_r {
            0 => d_out,
            mini_r => mini_r,
        }
    }
}

impl Method for Miss {
    fn entry(&self) -> &'static MethodEntry {
        &MISS
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (site, rank) = (slot.site, slot.rank);
        if rank > site.d_in {
            return Err(PeftError::Rank {
                site: site.path.clone(),
                rank,
                limit: site.d_in,
            });
        }
        let width = self.width(site.d_out);
        if !site.d_out.is_multiple_of(width) {
            return Err(PeftError::Option {
                method: MISS.id,
                option: MINI_R.to_owned(),
                problem: format!(
                    "expected a divisor of {}, the number of outputs of `{}`; found {width}",
                    site.d_out, site.path
                ),
            });
        }
        Ok(AnyAdapter::new(MissAdapter {
            block: slot.trainable(&BLOCK.field, init::zeros(rank, width)),
            d_in: site.d_in,
            d_out: site.d_out,
            dropout: self.dropout,
        }))
    }

    /// PEFT adapts no `Conv1D` of `transformers`.
    fn adapts(&self, kind: SiteKind) -> bool {
        kind == SiteKind::Linear
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        SiteLayout::default().with(BLOCK, [rank, self.width(site.d_out)])
    }

    fn config_fields(&self) -> Map<String, Value> {
        let (init, mini_r) = match self.mini_r {
            0 => (json!(true), 1),
            mini_r => (json!("mini"), mini_r),
        };
        peft_fields(
            &json!({
                "peft_type": PEFT_TYPE,
                "miss_dropout": self.dropout,
                INIT: init,
                MINI_R: mini_r,
                "lora_alpha": null,
                "rank_pattern": null,
                "alpha_pattern": null,
                "fan_in_fan_out": null,
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

/// The block of one layer.
#[derive(Module, Debug)]
pub struct MissAdapter {
    /// Weights of a shard's inputs, shape `[rank, d_out]` or `[rank, mini_r]`.
    pub block: Param<Tensor<2>>,
    d_in: usize,
    d_out: usize,
    /// Probability that an input is dropped while training.
    pub dropout: f64,
}

impl MissAdapter {
    fn shards(&self) -> usize {
        self.d_in.div_ceil(self.block.dims()[0])
    }

    /// Along the outputs as often as it takes.
    fn repeated(&self, values: Tensor<2>) -> Tensor<2> {
        let width = values.dims()[1];
        match self.d_out / width {
            1 => values,
            times => values.repeat_dim(1, times),
        }
    }

    /// `x [rows, d_in]` with its shards added up, shape `[rows, rank]`.
    fn summed(&self, x: Tensor<2>) -> Tensor<2> {
        let ([rows, d_in], rank, shards) = (x.dims(), self.block.dims()[0], self.shards());
        let missing = rank * shards - d_in;
        let x = match missing {
            0 => x,
            missing => {
                let zeros = Tensor::zeros([rows, missing], &x.device());
                Tensor::cat(vec![x, zeros], 1)
            }
        };
        x.reshape([rows, shards, rank])
            .sum_dim(1)
            .reshape([rows, rank])
    }

    /// `values [rank, n]` below each other for every shard, shape `[d_in, n]`.
    fn stacked(&self, values: Tensor<2>) -> Tensor<2> {
        values.repeat_dim(0, self.shards()).narrow(0, 0, self.d_in)
    }
}

impl Adapter for MissAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        vec![BLOCK]
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let summed = self.summed(pass.dropout(x, self.dropout));
        self.repeated(product(summed, self.block.val()))
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Ok(weight + self.stacked(self.repeated(self.block.val())))
    }

    /// The first factor adds the shards up.
    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        let block = self.block.val();
        let eye = Tensor::eye(block.dims()[0], &block.device());
        Some((self.stacked(eye), self.repeated(block)))
    }
}
