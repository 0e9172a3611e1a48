//! OFT, <https://arxiv.org/abs/2306.07280>: the input goes through rotations of runs of `b` inputs before the frozen product,
//! `y = x diag(R_1, .., R_n) W + bias` with `n b = d_in`.
//!
//! `R = I + 2 Q + 2 Q^2 + .. + Q^k` (the series of Cayley and Neumann, PEFT's default) or `R = (I - Q) (I + Q)^-1` (Cayley), with `Q [b, b]`
//! skew-symmetric, of which the `b (b - 1) / 2` numbers above the diagonal train. They start at zero, so that training starts at exactly the base.
//! `block_share` has one `Q` for all runs, `coft` keeps `|Q|_F` below `eps / sqrt(n)`. Alpha has no part in it.
//!
//! Files are those of Hugging Face PEFT since 0.18 (`OFT`): `oft_R.weight [n, b (b - 1) / 2]`, one row for shared ones.
//!
//! Deviations from PEFT: with `coft`, PEFT puts the shortened `Q` in the place of the trained one at each forward; here the trained one stays and
//! is shortened wherever it is used. Runs of a single input, to which PEFT's rounding may come, are the shortest that can be turned instead.
//! PEFT's `module_dropout` does nothing in linear layers and is not offered.

mod config;
#[cfg(test)]
mod tests;

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::options::as_map;
use peft_core::{
    Adapter, AnyAdapter, BaseLinear, Layout, Method, MethodEntry, Pass, PeftError, Site,
    SiteLayout, Slot, TensorName,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::blocks::{cayley, cayley_series, turned, turned_weight};

/// OFT with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oft {
    /// Inputs of a run, or the nearest number that divides the layer's; 0 for as many runs as the rank says.
    pub oft_block_size: usize,
    /// Whether all runs of a layer have one rotation.
    pub block_share: bool,
    /// Whether the series stands for the inverse in Cayley's rotation.
    pub use_cayley_neumann: bool,
    /// Terms of the series.
    pub num_cayley_neumann_terms: usize,
    /// Whether rotations are kept small.
    pub coft: bool,
    /// With `coft`: how large `|Q|_F` may become, over the square root of the number of rotations.
    pub eps: f64,
}

impl Default for Oft {
    /// PEFT's defaults.
    fn default() -> Self {
        Self {
            oft_block_size: 32,
            block_share: false,
            use_cayley_neumann: true,
            num_cayley_neumann_terms: 5,
            coft: false,
            eps: 6e-5,
        }
    }
}

/// OFT's entry in a registry of methods.
pub const OFT: MethodEntry = MethodEntry {
    id: "oft",
    name: "OFT",
    pairs: false,
    alpha: false,
    summary: "rotations of runs of inputs before each frozen product",
    paper: "Qiu et al. 2023, Controlling Text-to-Image Diffusion by Orthogonal Finetuning, arXiv 2306.07280",
    default_options: || as_map(&Oft::default()),
    from_options: |options| {
        let oft: Oft = MethodEntry::parse(OFT.id, options)?;
        Ok(Box::new(oft.checked()?))
    },
    recognises: |config| config.peft_type == config::PEFT_TYPE,
    from_config: |config| Ok(Box::new(config::read(config)?.checked()?)),
};

const SKEW: TensorName = TensorName::trained("skew", "oft_R.weight", Layout::AsIs);

impl Oft {
    fn checked(self) -> Result<Self, PeftError> {
        const TERMS: std::ops::RangeInclusive<usize> = 2..=64;
        let wrong = |option: &str, problem: String| {
            Err(PeftError::Option {
                method: OFT.id,
                option: option.into(),
                problem,
            })
        };
        let terms = self.num_cayley_neumann_terms;
        if !TERMS.contains(&terms) {
            return wrong(
                "num_cayley_neumann_terms",
                format!(
                    "expected 2 to 64 terms, of which the first is the identity, found {terms}"
                ),
            );
        }
        if self.oft_block_size == 1 {
            let problem = "expected runs of 2 inputs or more, which can be turned, or 0; found 1";
            return wrong("oft_block_size", problem.into());
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return wrong(
                "eps",
                format!("expected a size above 0, found {}", self.eps),
            );
        }
        Ok(self)
    }

    /// Inputs of a run of this layer.
    fn run(&self, site: &Site, rank: usize) -> usize {
        let d_in = site.d_in;
        let size = match self.oft_block_size {
            0 => d_in / nearest_divisor(d_in, rank),
            size => nearest_divisor(d_in, size),
        };
        match size {
            // A single input cannot be turned.
            1 => (2..=d_in)
                .find(|size| d_in.is_multiple_of(*size))
                .unwrap_or(1),
            size => size,
        }
    }

    /// How many rotations of which size a layer has.
    fn blocks(&self, site: &Site, rank: usize) -> (usize, usize) {
        let run = self.run(site, rank);
        match self.block_share {
            true => (1, run),
            false => (site.d_in / run, run),
        }
    }
}

/// The divisor of `n` next to `wanted`, the smaller one of two as near, as PEFT has it; `n` where `wanted` is beyond it.
fn nearest_divisor(n: usize, wanted: usize) -> usize {
    let divides = |candidate: &usize| n.is_multiple_of(*candidate);
    let below = (1..=wanted.min(n)).rev().find(divides).unwrap_or(1);
    let above = (wanted..=n).find(divides).unwrap_or(n);
    match wanted < n && wanted - below <= above - wanted {
        true => below,
        false => above,
    }
}

/// How many numbers a skew-symmetric matrix of this size has above its diagonal.
fn above_diagonal(size: usize) -> usize {
    size * size.saturating_sub(1) / 2
}

impl Method for Oft {
    fn entry(&self) -> &'static MethodEntry {
        &OFT
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let (count, size) = self.blocks(slot.site, slot.rank);
        if size < 2 {
            return Err(PeftError::Base {
                site: slot.site.path.clone(),
                problem: format!(
                    "expected 2 inputs or more, which can be turned, found {}; leave it out of the targets",
                    slot.site.d_in
                ),
            });
        }
        let numbers = above_diagonal(size);
        let skew = TensorData::new(vec![0.0f32; count * numbers], [count, numbers]);
        let (places, signs) = entries(size);
        let entries = [places.len()];
        Ok(AnyAdapter::new(OftAdapter {
            skew: slot.trainable("skew", skew),
            places: slot.integers("places", TensorData::new(places, entries)),
            signs: slot.frozen("signs", TensorData::new(signs, entries)),
            size,
            terms: self
                .use_cayley_neumann
                .then_some(self.num_cayley_neumann_terms),
            longest: self.coft.then(|| self.eps / (count as f64).sqrt()),
        }))
    }

    fn layout(&self, site: &Site, rank: usize, _alpha: f64) -> SiteLayout {
        let (count, size) = self.blocks(site, rank);
        SiteLayout::default().with(SKEW, [count, above_diagonal(size)])
    }

    fn config_fields(&self) -> Map<String, Value> {
        config::fields(self)
    }

    fn fields_beside(&self, config: &PeftConfig) -> Map<String, Value> {
        config::fields_beside(self, config)
    }

    fn options(&self) -> Map<String, Value> {
        as_map(self)
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// For each entry of a matrix, row by row: which of the numbers above the diagonal it is, and its sign, 0 on the diagonal.
fn entries(size: usize) -> (Vec<i64>, Vec<f32>) {
    let number = |row: usize, column: usize| row * (2 * size - row - 1) / 2 + column - row - 1;
    let entry = |row: usize, column: usize| match row.cmp(&column) {
        std::cmp::Ordering::Less => (number(row, column) as i64, 1.0),
        std::cmp::Ordering::Equal => (0, 0.0),
        std::cmp::Ordering::Greater => (number(column, row) as i64, -1.0),
    };
    let rows = (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
    rows.map(|(row, column)| entry(row, column)).unzip()
}

/// The rotations of one layer.
#[derive(Module, Debug)]
pub struct OftAdapter {
    /// What is above the diagonals of `Q`, row by row, shape `[n, b (b - 1) / 2]`, or one row for all runs.
    pub skew: Param<Tensor<2>>,
    /// Which of these numbers an entry of `Q` is, shape `[b * b]`.
    places: Param<Tensor<1, Int>>,
    /// Its sign, shape `[b * b]`.
    signs: Param<Tensor<1>>,
    /// Inputs of a run.
    size: usize,
    /// Terms of the series; without them the rotations are exact.
    terms: Option<usize>,
    /// What `|Q|_F` is kept below.
    longest: Option<f64>,
}

impl OftAdapter {
    /// `R_1, .., R_n`, shape `[n, b, b]`.
    fn blocks(&self) -> Tensor<3> {
        let skew = match self.longest {
            Some(longest) => shortened(self.skew.val(), longest),
            None => self.skew.val(),
        };
        let count = skew.dims()[0];
        let entries = skew.select(1, self.places.val()) * self.signs.val().unsqueeze();
        let q = entries.reshape([count, self.size, self.size]);
        match self.terms {
            Some(terms) => cayley_series(q, terms),
            None => cayley(q),
        }
    }
}

/// Rows with `|Q|_F` of at most `longest`, which is the root of twice their squares; the gradient is that of the rows as they are.
fn shortened(skew: Tensor<2>, longest: f64) -> Tensor<2> {
    let fixed = skew.clone().detach();
    let norms = (fixed.clone().powi_scalar(2).sum_dim(1) * 2.0).sqrt();
    let factors = (norms.clamp_min(f32::MIN_POSITIVE).recip() * longest).clamp_max(1.0);
    let nothing = skew - fixed.clone();
    fixed * factors + nothing
}

impl Adapter for OftAdapter {
    fn tensors(&self) -> Vec<TensorName> {
        vec![SKEW]
    }

    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        _pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        base.product(turned(x, self.blocks())) - product.clone()
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, _pass: &mut Pass<'_>) -> Tensor<2> {
        base.output(turned(x, self.blocks()))
    }

    fn replaces_base(&self) -> bool {
        true
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Ok(turned_weight(weight, self.blocks()))
    }
}
