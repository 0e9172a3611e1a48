//! IA3, <https://arxiv.org/abs/2205.05638>: one factor for each output of a layer, `y = (x W + bias) * l` with `l [d_out]`, or for each of its
//! inputs, `y = (x * l) W + bias` with `l [d_in]`.
//!
//! Layers that `feedforward_modules` names get factors for their inputs, all others for their outputs. Every factor starts at one, so that
//! training starts at exactly the base. Rank and alpha have no part in it.
//!
//! Files are those of Hugging Face PEFT (`IA3`): `ia3_l` of shape `[d_out, 1]`, or `[1, d_in]` for factors of inputs.
//!
//! Deviations from PEFT: several adapters at once add up their changes, as everywhere here, where PEFT multiplies the factors.
//! `init_ia3_weights`, with which PEFT draws the start at random, is not offered.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use peft_core::file::PeftConfig;
use peft_core::options::{as_map, peft_fields, with_rare};
use peft_core::target::{Target, matches_whole};
use peft_core::{
    Adapter, AnyAdapter, AttachedSite, BaseLinear, Fact, Layout, Method, MethodEntry, Pass,
    PeftError, Site, SiteLayout, Slot, TensorName, TensorShape,
};
use peft_kernels::{Keep, scale_columns};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What files call the type.
const PEFT_TYPE: &str = "IA3";
/// The option and the field of files that says which layers get factors for their inputs.
const FEEDFORWARD: &str = "feedforward_modules";
/// Settings that PEFT's configurations of IA3 have no field for.
const RARE: [&str; 3] = ["bias", "layers_pattern", "layers_to_transform"];

/// Layers by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a list of names or one regular expression"
)]
pub enum Names {
    /// What their paths end with.
    Ends(Vec<String>),
    /// A Python regular expression for the whole path.
    Regex(String),
}

impl Names {
    fn has(&self, path: &str) -> Result<bool, PeftError> {
        match self {
            Self::Ends(ends) => Ok(ends.iter().any(|end| path.ends_with(end.as_str()))),
            Self::Regex(pattern) => Ok(matches_whole(FEEDFORWARD, pattern, path)?),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Ends(ends) if ends.is_empty())
    }

    /// A regular expression that means the same.
    fn as_regex(&self) -> String {
        let ends = match self {
            Self::Regex(pattern) => return pattern.clone(),
            Self::Ends(ends) => ends,
        };
        let escaped = |end: &String| {
            let escaped = |letter: char| match letter.is_alphanumeric() || letter == '_' {
                true => String::from(letter),
                false => format!("\\{letter}"),
            };
            end.chars().map(escaped).collect::<String>()
        };
        let ends: Vec<String> = ends.iter().map(escaped).collect();
        format!(".*({})", ends.join("|"))
    }
}

/// IA3 with its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ia3 {
    /// Layers whose inputs are scaled in place of their outputs.
    pub feedforward_modules: Names,
}

impl Default for Ia3 {
    /// Factors for outputs everywhere.
    fn default() -> Self {
        Self {
            feedforward_modules: Names::Ends(Vec::new()),
        }
    }
}

/// IA3's entry in a registry of methods.
pub const IA3: MethodEntry = MethodEntry {
    id: "ia3",
    name: "IA3",
    pairs: false,
    alpha: false,
    summary: "one factor for each output, or each input, of a layer",
    paper: "Liu et al. 2022, Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning, arXiv 2205.05638",
    default_options: || as_map(&Ia3::default()),
    from_options: |options| Ok(Box::new(checked(MethodEntry::parse(IA3.id, options)?)?)),
    recognises: |config| config.peft_type == PEFT_TYPE,
    from_config,
};

fn from_config(config: &PeftConfig) -> Result<Box<dyn Method>, PeftError> {
    let Some(names) = config.raw.get(FEEDFORWARD).filter(|names| !names.is_null()) else {
        return Err(PeftError::Unsupported {
            problems: vec![format!(
                "`{FEEDFORWARD}` is missing, which stands for names that depend on the architecture; write them, or [] for none"
            )],
        });
    };
    let options = Map::from_iter([(FEEDFORWARD.to_owned(), names.clone())]);
    (IA3.from_options)(&options)
}

/// Refuses a pattern that is none.
fn checked(ia3: Ia3) -> Result<Ia3, PeftError> {
    ia3.feedforward_modules.has("")?;
    Ok(ia3)
}

const OUTPUTS: TensorName = TensorName::trained("factors", "ia3_l", Layout::Transposed);
const INPUTS: TensorName = TensorName::trained("factors", "ia3_l", Layout::AsIs);

/// What is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scaled {
    Inputs,
    Outputs,
}

impl Scaled {
    fn name(self) -> TensorName {
        match self {
            Self::Inputs => INPUTS,
            Self::Outputs => OUTPUTS,
        }
    }

    fn width(self, site: &Site) -> usize {
        match self {
            Self::Inputs => site.d_in,
            Self::Outputs => site.d_out,
        }
    }
}

impl Ia3 {
    /// A pattern that takes too long was refused for the sites as a whole.
    fn scaled(&self, site: &Site) -> Scaled {
        match self.feedforward_modules.has(&site.path) {
            Ok(true) => Scaled::Inputs,
            Ok(false) | Err(_) => Scaled::Outputs,
        }
    }
}

impl Method for Ia3 {
    fn entry(&self) -> &'static MethodEntry {
        &IA3
    }

    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        let scaled = self.scaled(slot.site);
        let width = scaled.width(slot.site);
        let ones = TensorData::new(vec![1.0f32; width], [1, width]);
        Ok(AnyAdapter::new(Ia3Adapter {
            factors: slot.trainable("factors", ones),
            scaled,
        }))
    }

    fn layout(&self, site: &Site, _rank: usize, _alpha: f64) -> SiteLayout {
        let scaled = self.scaled(site);
        SiteLayout::default().with(scaled.name(), [1, scaled.width(site)])
    }

    /// Nothing, and an error where the names mean none of the sites.
    fn common(&self, sites: &[AttachedSite]) -> Result<Vec<TensorShape>, PeftError> {
        let names = &self.feedforward_modules;
        let mut found = names.is_empty();
        for site in sites {
            found |= names.has(&site.path)?;
        }
        if found {
            return Ok(Vec::new());
        }
        let paths: Vec<&str> = sites.iter().map(|site| site.path.as_str()).collect();
        Err(PeftError::Option {
            method: IA3.id,
            option: FEEDFORWARD.into(),
            problem: format!(
                "expected names of adapted layers, such as `{}`; found {}, which none of the {} has",
                paths.last().unwrap_or(&""),
                json!(names),
                paths.len()
            ),
        })
    }

    fn config_fields(&self) -> Map<String, Value> {
        let own = json!({
            "peft_type": PEFT_TYPE,
            FEEDFORWARD: self.feedforward_modules,
            "init_ia3_weights": true,
        });
        let others: Vec<&str> = RARE
            .into_iter()
            .chain(["alpha_pattern", "lora_alpha", "r", "rank_pattern"])
            .collect();
        peft_fields(&own, &others)
    }

    /// PEFT refuses a list of names of which some are not among the targets, word for word; a regular expression it takes as it is.
    fn fields_beside(&self, config: &PeftConfig) -> Map<String, Value> {
        let mut fields = with_rare(self.config_fields(), &RARE, config);
        if let (Names::Ends(ends), Some(Target::List(targets))) =
            (&self.feedforward_modules, &config.target)
            && !ends.iter().all(|end| targets.contains(end))
        {
            let pattern = self.feedforward_modules.as_regex();
            fields.insert(FEEDFORWARD.into(), pattern.into());
        }
        fields
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
pub struct Ia3Adapter {
    /// One for each output or each input, shape `[1, d_out]` or `[1, d_in]`.
    pub factors: Param<Tensor<2>>,
    #[module(skip)]
    scaled: Scaled,
}

impl Ia3Adapter {
    /// The factors as a vector.
    fn vector(&self) -> Tensor<1> {
        self.factors.val().reshape([-1])
    }
}

impl Adapter for Ia3Adapter {
    fn tensors(&self) -> Vec<TensorName> {
        vec![self.scaled.name()]
    }

    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        _pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let change = self.factors.val() - 1.0;
        match self.scaled {
            Scaled::Outputs => base.add_bias(product.clone()) * change,
            Scaled::Inputs => base.product(x * change),
        }
    }

    fn forward(&self, x: Tensor<2>, base: &BaseLinear<'_>, _pass: &mut Pass<'_>) -> Tensor<2> {
        match self.scaled {
            Scaled::Outputs => scale_columns(base.output(x), self.vector(), None, Keep::Output),
            Scaled::Inputs => base.add_bias(base.scaled_product(x, self.vector())),
        }
    }

    fn replaces_base(&self) -> bool {
        self.scaled == Scaled::Inputs
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        let factors = self.factors.val();
        Ok(match self.scaled {
            Scaled::Outputs => weight * factors,
            Scaled::Inputs => weight * factors.transpose(),
        })
    }

    fn effective_bias(&self, bias: Tensor<1>) -> Tensor<1> {
        match self.scaled {
            Scaled::Outputs => bias * self.vector(),
            Scaled::Inputs => bias,
        }
    }

    fn facts(&self, _weight: Tensor<2>) -> Vec<Fact> {
        let change = (self.factors.val() - 1.0).abs();
        let fact = |name, value| Fact {
            name,
            value: peft_core::read_number(value),
        };
        vec![
            fact("mean change of a factor", change.clone().mean()),
            fact("largest change of a factor", change.max()),
        ]
    }
}
