//! VeRA, <https://arxiv.org/abs/2310.11454>: two random matrices that all layers have in common stay frozen, and each layer trains two
//! vectors, `y = x W + bias + ((dropout(x) A') * d) B' * b`.
//!
//! `A [largest d_in, rank]` and `B [rank, largest d_out]` are drawn once, `A'` is the first `d_in` rows of `A` and `B'` the first `d_out`
//! columns of `B`; `d [rank]` starts at `d_initial` and `b [d_out]` at zero. Alpha has no part in it.
//!
//! Files are those of Hugging Face PEFT (`VERA`): `vera_lambda_b [d_out]` and `vera_lambda_d [rank]` for each layer, and once
//! `vera_A [rank, largest d_in]`, `vera_B [largest d_out, rank]`, unless `save_projection` is off.

mod projection;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::options::{as_map, check_dropout, peft_fields, refuse_untyped};
use peft_core::{
    Adapter, AnyAdapter, AttachedSite, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError,
    Site, SiteLayout, Slot, TensorName, TensorShape,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What files call the type.
const PEFT_TYPE: &str = "VERA";

/// VeRA with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vera {
    /// Probability that an input of `A` is dropped while training.
    pub dropout: f64,
    /// First value of `d`.
    pub d_initial: f64,
    /// Seed of `A` and `B`; the same seed gives PEFT's matrices.
    pub projection_prng_key: u64,
    /// Whether folders hold `A` and `B`; without them, readers draw them again from the seed.
    pub save_projection: bool,
}

impl Default for Vera {
    /// PEFT's defaults.
    fn default() -> Self {
        Self {
            dropout: 0.0,
            d_initial: 0.1,
            projection_prng_key: 0,
            save_projection: true,
        }
    }
}

/// VeRA's entry in a registry of methods.
pub const VERA: MethodEntry = MethodEntry {
    id: "vera",
    name: "VeRA",
    pairs: false,
    alpha: false,
    summary: "two vectors for each layer beside random matrices that all layers have in common",
    paper: "Kopiczko et al. 2024, VeRA: Vector-based Random Matrix Adaptation, arXiv 2310.11454",
    default_options: || as_map(&Vera::default()),
    from_options: |options| {
        let vera: Vera = MethodEntry::parse(VERA.id, options)?;
        check_dropout(VERA.id, vera.dropout)?;
        Ok(Box::new(vera))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    refuse_untyped(config)?;
    // PEFT's names, of which one differs from the option here.
    let mut options = Map::new();
    for (field, option) in [
        ("vera_dropout", "dropout"),
        ("d_initial", "d_initial"),
        ("projection_prng_key", "projection_prng_key"),
        ("save_projection", "save_projection"),
    ] {
        let value = config.raw.get(field).filter(|value| !value.is_null());
        options.extend(value.map(|value| (option.to_owned(), value.clone())));
    }
    (VERA.from_options)(&options)
}

const LAMBDA_B: TensorName = TensorName::trained("b", "vera_lambda_b", Layout::AsIs);
const LAMBDA_D: TensorName = TensorName::trained("d", "vera_lambda_d", Layout::AsIs);
const A: TensorName = TensorName::frozen("down", "vera_A", Layout::Transposed).common();
const B: TensorName = TensorName::frozen("up", "vera_B", Layout::Transposed).common();

impl Vera {
    /// The largest `d_in` and the largest `d_out`.
    fn largest(sites: &[AttachedSite]) -> (usize, usize) {
        let largest = |(d_in, d_out): (usize, usize), site: &AttachedSite| {
            (d_in.max(site.d_in), d_out.max(site.d_out))
        };
        sites.iter().fold((0, 0), largest)
    }

    /// `A` and `B` of these sizes, PEFT's for this seed.
    fn projections(&self, d_in: usize, d_out: usize, rank: usize) -> [TensorData; 2] {
        projection::draw(self.projection_prng_key, d_in, d_out, rank)
    }
}

impl Method for Vera {
    fn entry(&self) -> &'static MethodEntry {
        &VERA
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (d_in, d_out, rank) = (slot.site.d_in, slot.site.d_out, slot.rank);
        let (down, up) = match slot.peers.first::<VeraAdapter>() {
            Some(first) => (slot.taken("down", &first.down), slot.taken("up", &first.up)),
            None => {
                let largest = Self::largest(slot.peers.sites);
                let (d_in, d_out) = (d_in.max(largest.0), d_out.max(largest.1));
                let [down, up] = self.projections(d_in, d_out, rank);
                (slot.frozen("down", down), slot.frozen("up", up))
            }
        };
        let d = TensorData::new(vec![self.d_initial as f32; rank], [rank]);
        let b = TensorData::new(vec![0.0f32; d_out], [d_out]);
        Ok(AnyAdapter::new(VeraAdapter {
            b: slot.trainable("b", b),
            d: slot.trainable("d", d),
            down,
            up,
            d_in,
            d_out,
            dropout: self.dropout,
            saved: self.save_projection,
        }))
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        SiteLayout::default()
            .with(LAMBDA_B, [site.d_out])
            .with(LAMBDA_D, [rank])
    }

    fn common(&self, sites: &[AttachedSite]) -> Result<Vec<TensorShape>, PeftError> {
        let rank = sites.first().map_or(0, |site| site.rank);
        if let Some(other) = sites.iter().find(|site| site.rank != rank) {
            return Err(PeftError::Option {
                method: VERA.id,
                option: "rank_pattern".into(),
                problem: format!(
                    "all layers have two matrices in common and so one rank; found {rank} at `{}` and {} at `{}`: leave the pattern away",
                    sites[0].path, other.rank, other.path
                ),
            });
        }
        if !self.save_projection {
            return Ok(Vec::new());
        }
        let (d_in, d_out) = Self::largest(sites);
        let [down, up] = [vec![d_in, rank], vec![rank, d_out]];
        Ok(vec![
            TensorShape {
                name: A,
                shape: down,
            },
            TensorShape { name: B, shape: up },
        ])
    }

    /// PEFT's, in whose configuration LoRA's own fields have no place.
    fn config_fields(&self) -> Map<String, Value> {
        peft_fields(
            &json!({
                "peft_type": PEFT_TYPE,
                "vera_dropout": self.dropout,
                "d_initial": self.d_initial,
                "projection_prng_key": self.projection_prng_key,
                "save_projection": self.save_projection,
                "init_weights": true,
                "lora_alpha": null,
                "rank_pattern": null,
                "alpha_pattern": null,
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

/// The vectors of one layer, and the matrices that all layers have.
#[derive(Module, Debug)]
pub struct VeraAdapter {
    /// Factor of each output, shape `[d_out]`.
    pub b: Param<Tensor<1>>,
    /// Factor of each direction, shape `[rank]`.
    pub d: Param<Tensor<1>>,
    /// Frozen, shape `[largest d_in, rank]`.
    pub down: Param<Tensor<2>>,
    /// Frozen, shape `[rank, largest d_out]`.
    pub up: Param<Tensor<2>>,
    d_in: usize,
    d_out: usize,
    dropout: f64,
    /// Whether files hold the matrices.
    saved: bool,
}

impl VeraAdapter {
    /// The first `d_in` rows of `A`.
    fn down(&self) -> Tensor<2> {
        self.down.val().narrow(0, 0, self.d_in)
    }

    /// The first `d_out` columns of `B`.
    fn up(&self) -> Tensor<2> {
        self.up.val().narrow(1, 0, self.d_out)
    }

    /// `A' diag(d) [d_in, rank]` and `B' diag(b) [rank, d_out]`.
    fn factors(&self) -> (Tensor<2>, Tensor<2>) {
        let a = self.down() * self.d.val().unsqueeze();
        let b = self.up() * self.b.val().unsqueeze();
        (a, b)
    }
}

impl Adapter for VeraAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        let own = [LAMBDA_B, LAMBDA_D].into_iter();
        let common = [A, B].into_iter().filter(|_| self.saved);
        own.chain(common).collect()
    }

    fn delta(
        &self,
        x: Tensor<2>,
        _product: &Tensor<2>,
        _base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let x = pass.dropout(x, self.dropout);
        let hidden = x.matmul(self.down()) * self.d.val().unsqueeze();
        hidden.matmul(self.up()) * self.b.val().unsqueeze()
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let (a, b) = self.factors();
        Ok(weight + a.matmul(b))
    }

    fn low_rank(&self) -> Option<(Tensor<2>, Tensor<2>)> {
        Some(self.factors())
    }
}
