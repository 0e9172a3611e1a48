//! Parameters of output layers that have a learning rate of their own, by the settings of a run.

use std::collections::HashSet;

use burn::module::ParamId;
use peft_core::target::pattern_value;
use peft_core::{Adaptable, ParamNames, PeftError, Trainable};

use crate::TrainError;
use crate::head_rate::{HeadRate, of_width};
use crate::optimizer_kind::OptimizerKind;
use crate::options::TrainOptions;

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
