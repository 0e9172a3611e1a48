//! BOFT, <https://arxiv.org/abs/2311.06243>: the input goes through several layers of rotations of `b` inputs each before the frozen product, which
//! mix inputs that are further and further apart, `y = x B_m .. B_1 W * s + bias`.
//!
//! `B_i = P_i diag(R_1, .., R_n) P_i^T` with `n b = d_in`: `P_1` is the identity, and `P_i` deals the halves of blocks out within runs of `2^(i-1) b`
//! inputs (a butterfly), so that after `m` factors every input of a run of `2^(m-1) b` has met every other. `R = (I - Q) (I + Q)^-1`, with
//! `Q = (A - A^T) / 2` of the trained `A [b, b]`; `A` starts at zero and the factors of outputs `s [d_out]` at one, so that training
//! starts at the base. One factor is OFT. Rank and alpha have no part in it.
//!
//! Files are those of Hugging Face PEFT (`BOFT`): `boft_R [m, n, b, b]` and `boft_s [d_out, 1]`.
//!
//! PEFT computes more than one factor only where its CUDA extension can be built, and elsewhere quietly one.

mod butterfly;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::options::{as_map, check_dropout, peft_fields, with_rare};
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site,
    SiteLayout, Slot, TensorName,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::blocks::cayley;

/// What files call the type.
const PEFT_TYPE: &str = "BOFT";
/// Settings that PEFT's configurations of BOFT have no field for.
const RARE: [&str; 1] = ["rank_pattern"];
/// The options, and the fields of files that say the same.
const FIELDS: [(&str, &str); 4] = [
    ("boft_block_size", "boft_block_size"),
    ("boft_block_num", "boft_block_num"),
    ("boft_n_butterfly_factor", "boft_n_butterfly_factor"),
    ("dropout", "boft_dropout"),
];
/// More than any layer has room for.
const MOST_FACTORS: usize = 32;

/// BOFT with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boft {
    /// Inputs of a block; 0 where `boft_block_num` says how many blocks there are.
    pub boft_block_size: usize,
    /// Blocks of a layer; 0 where `boft_block_size` says how large they are.
    pub boft_block_num: usize,
    /// Factors, each of as many blocks.
    pub boft_n_butterfly_factor: usize,
    /// Share of the blocks of one factor, drawn anew for each layer and step, that do not turn while training.
    pub dropout: f64,
}

impl Default for Boft {
    /// PEFT's defaults.
    fn default() -> Self {
        Self {
            boft_block_size: 4,
            boft_block_num: 0,
            boft_n_butterfly_factor: 1,
            dropout: 0.0,
        }
    }
}

/// BOFT's entry in a registry of methods.
pub const BOFT: MethodEntry = MethodEntry {
    id: "boft",
    name: "BOFT",
    pairs: false,
    alpha: false,
    summary: "layers of small rotations that mix all inputs, before each frozen product, and a factor for each output",
    paper: "Liu et al. 2024, Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization, arXiv 2311.06243",
    default_options: || as_map(&Boft::default()),
    from_options: |options| {
        let boft: Boft = MethodEntry::parse(BOFT.id, options)?;
        Ok(Box::new(boft.checked()?))
    },
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    let said = |(option, field): (&str, &str)| {
        let value = config.raw.get(field).filter(|value| !value.is_null())?;
        Some((option.to_owned(), value.clone()))
    };
    (BOFT.from_options)(&FIELDS.into_iter().filter_map(said).collect())
}

const A: TensorName = TensorName::trained("a", "boft_R", Layout::AsIs);
const S: TensorName = TensorName::trained("s", "boft_s", Layout::Transposed);

/// How the inputs of a layer are divided.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    factors: usize,
    count: usize,
    size: usize,
}

impl Blocks {
    fn shape(self) -> [usize; 4] {
        [self.factors, self.count, self.size, self.size]
    }
}

impl Boft {
    fn checked(self) -> Result<Self, PeftError> {
        check_dropout(BOFT.id, self.dropout)?;
        let (size, count) = (self.boft_block_size, self.boft_block_num);
        if (size == 0) == (count == 0) {
            return Err(option(
                "boft_block_size",
                format!(
                    "expected either `boft_block_size` or `boft_block_num` above 0, and 0 for the other; found {size} and {count}"
                ),
            ));
        }
        if size == 1 {
            let problem = "expected blocks of 2 inputs or more, which can be turned; found 1";
            return Err(option("boft_block_size", problem.into()));
        }
        let factors = self.boft_n_butterfly_factor;
        if !(1..=MOST_FACTORS).contains(&factors) {
            return Err(option(
                "boft_n_butterfly_factor",
                format!("expected 1 to {MOST_FACTORS} factors, found {factors}"),
            ));
        }
        Ok(self)
    }

    /// How a layer's inputs are divided, rounded where they cannot be; [`Self::fitting`] says whether they can.
    fn blocks(&self, site: &Site) -> Blocks {
        let (size, count) = match self.boft_block_size {
            0 => (site.d_in / self.boft_block_num, self.boft_block_num),
            size => (size, site.d_in / size),
        };
        Blocks {
            factors: self.boft_n_butterfly_factor,
            count,
            size,
        }
    }

    /// How a layer's inputs are divided.
    fn fitting(&self, site: &Site) -> Result<Blocks, PeftError> {
        let blocks = self.blocks(site);
        let Blocks {
            factors,
            count,
            size,
        } = blocks;
        let wrong = |name: &str, problem: String| {
            let wrong = format!("site `{}` has {} inputs: {problem}", site.path, site.d_in);
            Err(option(name, wrong))
        };
        if count * size != site.d_in || size < 2 {
            let (name, asked) = match self.boft_block_size {
                0 => ("boft_block_num", self.boft_block_num),
                size => ("boft_block_size", size),
            };
            return wrong(
                name,
                format!(
                    "expected a number that divides them into blocks of 2 or more, found {asked}"
                ),
            );
        }
        let run = 1usize << (factors - 1);
        if factors > 1 && !(count.is_multiple_of(run) && size.is_multiple_of(2)) {
            return wrong(
                "boft_n_butterfly_factor",
                format!(
                    "{factors} factors need blocks of an even size and a multiple of {run} of them, found {count} blocks of {size}"
                ),
            );
        }
        Ok(blocks)
    }
}

fn option(name: &str, problem: String) -> PeftError {
    PeftError::Option {
        method: BOFT.id,
        option: name.into(),
        problem,
    }
}

impl Method for Boft {
    fn entry(&self) -> &'static MethodEntry {
        &BOFT
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let blocks = self.fitting(slot.site)?;
        let (shape, d_out) = (blocks.shape(), slot.site.d_out);
        let zeros = vec![0.0f32; shape.iter().product()];
        Ok(AnyAdapter::new(BoftAdapter {
            a: slot.trainable("a", TensorData::new(zeros, shape)),
            s: slot.trainable("s", TensorData::new(vec![1.0f32; d_out], [1, d_out])),
            dropout: self.dropout,
        }))
    }

    fn layout(&self, site: &Site, _rank: usize, _alpha: f64) -> SiteLayout {
        SiteLayout::default()
            .with(A, self.blocks(site).shape())
            .with(S, [1, site.d_out])
    }

    fn config_fields(&self) -> Map<String, Value> {
        let mut own = as_map(&json!({ "peft_type": PEFT_TYPE, "init_weights": true }));
        let options = self.options();
        own.extend(FIELDS.map(|(option, field)| (field.to_owned(), options[option].clone())));
        let others: Vec<&str> = RARE
            .into_iter()
            .chain(["alpha_pattern", "lora_alpha", "r"])
            .collect();
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

/// The rotations of one layer and the factors of its outputs.
#[derive(Module, Debug)]
pub struct BoftAdapter {
    /// `A` of each block of each factor, shape `[m, n, b, b]`.
    pub a: Param<Tensor<4>>,
    /// Factor of each output, shape `[1, d_out]`.
    pub s: Param<Tensor<2>>,
    /// Share of the blocks of one factor that do not turn while training.
    pub dropout: f64,
}

impl BoftAdapter {
    /// `R` of each block of each factor, shape `[m, n, b, b]`.
    fn rotations(&self) -> Tensor<4> {
        let shape = self.a.lazy_shape();
        let (factors, count, size) = (shape[0], shape[1], shape[2]);
        let a = self.a.val().reshape([factors * count, size, size]);
        let q = (a.clone() - a.swap_dims(1, 2)) * 0.5;
        cayley(q).reshape([factors, count, size, size])
    }

    /// `x B_m .. B_1`, shape `[rows, d_in]`.
    fn turned(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let rotations = self.rotations();
        let rotations = match pass.mask(self.dropout) {
            Some((share, seed)) => butterfly::held(rotations, share, seed),
            None => rotations,
        };
        butterfly::turned(x, &rotations)
    }
}

impl Adapter for BoftAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        vec![A, S]
    }

    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        base.product(self.turned(x, pass)) * self.s.val() - product.clone()
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, pass: &mut Pass<'_>) -> Tensor<2> {
        base.add_bias(base.product(self.turned(x, pass)) * self.s.val())
    }

    fn replaces_base(&self) -> bool {
        true
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Ok(butterfly::turned_weight(weight, &self.rotations()) * self.s.val())
    }
}
