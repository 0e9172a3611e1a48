//! Parameters with a learning rate, a schedule, a clipping or an optimizer of their own, and how one step goes over them.

use std::collections::HashSet;

use burn::module::{Module, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use indexmap::IndexMap;
use peft_core::gradient::{ClipNorm, take};
use peft_core::target::pattern_value;
use peft_core::{Factors, PeftError, Procedures, Trainable, TrainableParam, rounds};

use crate::TrainError;
use crate::optimizer::Rule;
use crate::options::TrainOptions;
use crate::own_rate::OwnRate;
use crate::schedule::Schedule;

/// The learning rates of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// Steps taken before it.
    pub(crate) index: usize,
    /// Of parameters without a rate of their own.
    pub(crate) usual: f64,
    /// What rates of their own are multiplied by; the usual one has it already.
    pub(crate) factor: f64,
}

/// Parameters that are stepped alike.
#[derive(Debug)]
struct Group {
    trainable: Trainable,
    /// Its own peak and schedule; the run's when absent.
    rate: Option<(f64, Schedule)>,
    /// Its own clipping; that of the rest when absent.
    clip: Option<ClipNorm>,
    /// Its place among the groups of the settings, where it is one of them.
    own: Option<usize>,
}

/// All parameters that train, in groups; the last ones are the output layer where it has a rate of its own, and those that no group names.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    all: Trainable,
    /// Parameters that are clipped together because no group clips them by itself, and how.
    rest: Trainable,
    clip: Option<ClipNorm>,
    /// The second factors of low-rank pairs, and what their rate is multiplied by.
    second: HashSet<ParamId>,
    lora_plus: f64,
}

impl Groups {
    /// The groups of a run of `total` steps.
    ///
    /// # Errors
    /// A group that no parameter belongs to, or a pattern that is none.
    pub(crate) fn new(
        options: &TrainOptions,
        trainable: &Trainable,
        head: Option<&OwnRate>,
        total: usize,
    ) -> Result<Self, TrainError> {
        let patterns = options.groups.iter().enumerate();
        let patterns: IndexMap<String, usize> = patterns
            .map(|(at, group)| (group.params.clone(), at))
            .collect();
        let mut members: Vec<Vec<TrainableParam>> = vec![vec![]; options.groups.len()];
        let (mut of_head, mut others) = (vec![], vec![]);
        for param in &trainable.params {
            let group = pattern_value(&patterns, &param.name).map_err(PeftError::from)?;
            match group {
                Some(group) => members[*group].push(param.clone()),
                None if head.is_some_and(|head| head.ids.contains(&param.id)) => {
                    of_head.push(param.clone());
                }
                None => others.push(param.clone()),
            }
        }
        let mut groups = Vec::new();
        for (at, members) in members.iter().enumerate() {
            groups.push(Group::new(options, at, members, total)?);
        }
        let alone = |params: Vec<TrainableParam>| Trainable {
            params,
            pairs: vec![],
        };
        if let Some(head) = head {
            let schedule = Schedule::new(options.schedule, options.warmup, total)?;
            groups.push(Group {
                trainable: alone(of_head),
                rate: Some((head.lr, schedule)),
                clip: None,
                own: None,
            });
        }
        groups.push(Group {
            trainable: alone(others),
            rate: None,
            clip: None,
            own: None,
        });
        let together = groups.iter().filter(|group| group.clip.is_none());
        let together = together.flat_map(|group| group.trainable.params.iter().cloned());
        Ok(Self {
            rest: alone(together.collect()),
            clip: (options.clip_norm > 0.0).then_some(ClipNorm {
                max_norm: options.clip_norm,
            }),
            groups,
            all: trainable.clone(),
            second: trainable.pairs.iter().map(|pair| pair.b).collect(),
            lora_plus: options.lora_plus,
        })
    }

    /// An optimizer that steps each group by its rule, without a state.
    pub(crate) fn optimizer(&self, options: &TrainOptions) -> ModuleOptimizer {
        let mut optimizer = Rule::of_run(options).init();
        for group in self.groups.iter().filter(|group| group.own.is_some()) {
            let params = group.trainable.params.iter().map(|param| param.id);
            group.rule(options).apply(&mut optimizer, params.collect());
        }
        optimizer
    }

    /// Makes an optimizer of these groups lose what it knows of some parameters.
    pub(crate) fn forget(
        &self,
        options: &TrainOptions,
        optimizer: &mut ModuleOptimizer,
        params: &[ParamId],
    ) {
        for group in &self.groups {
            let members = group.trainable.params.iter().map(|param| param.id);
            let members: Vec<ParamId> = members.filter(|id| params.contains(id)).collect();
            if !members.is_empty() {
                group.rule(options).apply(optimizer, members);
            }
        }
    }

    /// Clips the gradients of each group that clips its own, and of all others together; returns the norm of the latter before.
    pub(crate) fn clip(&self, grads: &mut GradientsParams) -> Option<Tensor<1>> {
        for group in &self.groups {
            if let Some(clip) = &group.clip {
                clip.clip(grads, &group.trainable);
            }
        }
        self.clip.as_ref()?.clip(grads, &self.rest)
    }

    /// One step of all parameters by their gradients.
    pub(crate) fn step<M: Module>(
        &self,
        mut model: M,
        mut grads: GradientsParams,
        optimizer: &mut ModuleOptimizer,
        rates: Rates,
        procedures: &Procedures,
    ) -> Result<M, PeftError> {
        let pairs = &self.all.pairs;
        for round in rounds(&self.all, procedures.steps_a_first()) {
            let mut round = take(&mut grads, round);
            if procedures.conditioning().is_some() {
                let factors = Factors::of(&model, pairs);
                procedures.condition(&mut round, pairs, &factors)?;
            }
            for (group, part, rate) in self.parts(rates) {
                let members = group.trainable.params.iter();
                let members = members.filter(|param| self.is(part, param));
                let part = take(&mut round, members);
                if !part.is_empty() {
                    model = optimizer.step(rate, model, part);
                }
            }
        }
        Ok(model)
    }

    /// Every part of the model that has one learning rate: a group, which of its parameters, and the rate.
    fn parts(&self, rates: Rates) -> impl Iterator<Item = (&Group, Part, f64)> {
        self.groups.iter().flat_map(move |group| {
            let rate = match group.rate {
                Some((peak, schedule)) => peak * schedule.factor(rates.index) * rates.factor,
                None => rates.usual,
            };
            if self.lora_plus == 1.0 {
                return vec![(group, Part::All, rate)];
            }
            vec![
                (group, Part::First, rate),
                (group, Part::Second, rate * self.lora_plus),
            ]
        })
    }

    fn is(&self, part: Part, param: &TrainableParam) -> bool {
        match part {
            Part::All => true,
            Part::First => !self.second.contains(&param.id),
            Part::Second => self.second.contains(&param.id),
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    All,
    First,
    Second,
}

impl Group {
    /// The group at this place of the settings.
    fn new(
        options: &TrainOptions,
        at: usize,
        members: &[TrainableParam],
        total: usize,
    ) -> Result<Self, TrainError> {
        let own = &options.groups[at];
        if members.is_empty() {
            return Err(TrainError::Option {
                option: "groups.params",
                expected:
                    "the end of the name of a parameter that trains, which no group before it names"
                        .into(),
                found: own.params.clone(),
            });
        }
        let schedule = Schedule::of_run(
            own.schedule.unwrap_or(options.schedule),
            own.warmup.unwrap_or(options.warmup),
            total,
        )?;
        let differs = own.lr.is_some() || own.schedule.is_some() || own.warmup.is_some();
        Ok(Self {
            trainable: Trainable {
                params: members.to_vec(),
                pairs: vec![],
            },
            rate: differs.then(|| (own.lr.unwrap_or(options.lr), schedule)),
            clip: own.clip_norm.map(|norm| ClipNorm {
                max_norm: if norm > 0.0 { norm } else { f64::INFINITY },
            }),
            own: Some(at),
        })
    }

    fn rule<'a>(&self, options: &'a TrainOptions) -> Rule<'a> {
        match self.own {
            Some(at) => Rule::of_group(options, &options.groups[at]),
            None => Rule::of_run(options),
        }
    }
}
