//! The learning rate of an output layer that starts afresh: how it is set, and what it applies to.
//!
//! Low-rank pairs start at the base and want small steps; a new output layer starts at noise, over features that hardly move, and wants steps
//! ten times as large. With one rate for both, either the layer is still noise when the run ends, or the pairs diverge.

use std::collections::HashSet;

use burn::module::ParamId;
use peft_core::target::pattern_value;
use peft_core::{Adaptable, ParamNames, PeftError, Trainable};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::optimizer::OptimizerKind;
use crate::options::TrainOptions;

/// Peak rate of a new output layer of up to [`USUAL_WIDTH`] inputs beside an adapter, with AdamW, whose steps move every weight by about the
/// rate. `cargo xtask study head` compares it with others.
pub const NEW_HEAD_RATE: f64 = 2e-2;

/// Inputs of an output layer beyond which the rate falls as they grow: an output moves by the sum over all its inputs.
pub const USUAL_WIDTH: usize = 384;

/// The rate of a new output layer of so many inputs.
fn of_width(inputs: usize) -> f64 {
    let share = USUAL_WIDTH as f64 / inputs.max(1) as f64;
    NEW_HEAD_RATE * share.min(1.0)
}

/// Peak learning rate of an output layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum HeadRate {
    /// [`NEW_HEAD_RATE`], for more than [`USUAL_WIDTH`] inputs less in proportion, or the run's rate where that is larger, for output
    /// layers that start afresh beside an adapter and are trained by AdamW; the run's rate for all others.
    #[default]
    Auto,
    /// The run's rate, as for all else that trains.
    Same,
    /// This one, for every output layer that trains, new or not.
    Rate(f64),
}

/// As it stands in run files.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

impl TryFrom<Written> for HeadRate {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(rate) => Ok(Self::Rate(rate)),
            Written::Text(text) if text == "auto" => Ok(Self::Auto),
            Written::Text(text) if text == "same" => Ok(Self::Same),
            Written::Text(text) => Err(format!(
                "head_lr: expected auto, same or a number; found `{text}`"
            )),
        }
    }
}

impl From<HeadRate> for Written {
    fn from(rate: HeadRate) -> Self {
        match rate {
            HeadRate::Auto => Self::Text("auto".into()),
            HeadRate::Same => Self::Text("same".into()),
            HeadRate::Rate(rate) => Self::Number(rate),
        }
    }
}

/// Parameters of output layers with a rate of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnRate {
    /// Their names, in the order of the model.
    pub names: Vec<String>,
    /// Peak learning rate.
    pub lr: f64,
    pub(crate) ids: HashSet<ParamId>,
}

impl OwnRate {
    /// What the settings give a rate of their own in a model of which `fresh` parameters start afresh. Parameters that a group of the settings
    /// names are that group's.
    ///
    /// # Errors
    /// [`TrainError::Option`] for a rate that no output layer takes, or a group's pattern that is none.
    pub fn of<M: Adaptable>(
        options: &TrainOptions,
        model: &M,
        names: &ParamNames,
        fresh: &[String],
    ) -> Result<Option<Self>, TrainError> {
        let heads = model.output_heads();
        let lr = match options.head_lr {
            HeadRate::Same => return Ok(None),
            HeadRate::Auto if options.optimizer != OptimizerKind::AdamW => return Ok(None),
            HeadRate::Auto => {
                let sites = model.sites();
                let of_heads = sites.iter().filter(|site| heads.contains(&site.path));
                let inputs = of_heads.map(|site| site.d_in).max();
                of_width(inputs.unwrap_or(1)).max(options.lr)
            }
            HeadRate::Rate(rate) => rate,
        };
        let any = options.head_lr != HeadRate::Auto;
        let is_head = |name: &str| {
            let path = name.rsplit_once('.').map_or(name, |(path, _)| path);
            heads.iter().any(|head| head == path)
        };
        let groups = options
            .groups
            .iter()
            .map(|group| (group.params.clone(), ()));
        let groups = groups.collect();
        let mut own = Self {
            names: vec![],
            lr,
            ids: HashSet::new(),
        };
        for param in Trainable::of(model, names).params {
            let is_new = fresh.contains(&param.name) && names.get(param.id).is_none();
            let grouped = pattern_value(&groups, &param.name).map_err(PeftError::from)?;
            if is_head(&param.name) && (any || is_new) && grouped.is_none() {
                own.ids.insert(param.id);
                own.names.push(param.name);
            }
        }
        if any && own.ids.is_empty() {
            return Err(TrainError::Option {
                option: "head_lr",
                expected: "same: no output layer trains, or a group of train.groups names it"
                    .into(),
                found: lr.to_string(),
            });
        }
        Ok((!own.ids.is_empty()).then_some(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_layers_take_a_smaller_rate_and_narrow_ones_none_above_the_usual() {
        for (inputs, share) in [(16, 1.0), (384, 1.0), (768, 0.5), (3840, 0.1)] {
            assert!((of_width(inputs) - share * NEW_HEAD_RATE).abs() < 1e-12);
        }
    }

    fn read(text: &str) -> Result<HeadRate, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn words_and_numbers_are_read_and_written_as_they_were() {
        for (text, expected) in [
            ("\"auto\"", HeadRate::Auto),
            ("\"same\"", HeadRate::Same),
            ("0.05", HeadRate::Rate(0.05)),
            ("1", HeadRate::Rate(1.0)),
        ] {
            let rate = read(text).unwrap();
            assert_eq!(rate, expected);
            assert_eq!(read(&serde_json::to_string(&rate).unwrap()), Ok(rate));
        }
        let error = read("\"fast\"").unwrap_err();
        assert!(error.contains("expected auto, same or a number") && error.contains("fast"));
    }
}
