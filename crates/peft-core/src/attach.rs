//! Attaching adapters to a model: which sites, which rank, what trains.

use std::collections::HashSet;

use burn::module::{Module, ParamId};
use indexmap::IndexMap;
use serde::Serialize;

use crate::error::PeftError;
use crate::fields;
use crate::linear::AdaptedLinear;
use crate::lora::Lora;
use crate::method::{Method, Slot};
use crate::names::ParamNames;
use crate::site::Site;
use crate::target::{Target, TargetRules, UnmatchedTarget, is_saved_module, pattern_value};
use crate::trainable::mark_trainable;

/// A model whose linear layers can carry adapters.
pub trait Adaptable: Module {
    /// Calls `visit` with every linear layer, always in the same order.
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear));

    /// Calls `visit` with every linear layer, in the order of [`Self::visit_linears`].
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear));

    /// Every site of the model.
    fn sites(&self) -> Vec<Site> {
        let mut sites = Vec::new();
        self.visit_linears(&mut |linear| sites.push(linear.site().clone()));
        sites
    }

    /// Paths that `all-linear` leaves out: output heads, as in PEFT.
    fn output_heads(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What to attach: a method, its size and where.
#[derive(Debug)]
pub struct AdapterSpec {
    /// The method with its options.
    pub method: Box<dyn Method>,
    /// Rank where no pattern says otherwise.
    pub rank: usize,
    /// Alpha where no pattern says otherwise.
    pub alpha: f64,
    /// Which sites.
    pub targets: TargetRules,
    /// Path pattern to rank; the first that matches wins.
    pub rank_pattern: IndexMap<String, usize>,
    /// Path pattern to alpha; the first that matches wins.
    pub alpha_pattern: IndexMap<String, f64>,
    /// Modules trained and saved as a whole, such as a classification head.
    pub modules_to_save: Vec<String>,
    /// PEFT's task type, for example `SEQ_CLS`.
    pub task_type: Option<String>,
    /// Name or path of the base model, written to files.
    pub base_model: Option<String>,
}

impl Default for AdapterSpec {
    /// LoRA of rank 8 and alpha 16 on every linear layer.
    fn default() -> Self {
        Self {
            method: Box::new(Lora::default()),
            rank: 8,
            alpha: 16.0,
            targets: TargetRules::new(Target::AllLinear),
            rank_pattern: IndexMap::new(),
            alpha_pattern: IndexMap::new(),
            modules_to_save: vec![],
            task_type: None,
            base_model: None,
        }
    }
}

impl Clone for AdapterSpec {
    fn clone(&self) -> Self {
        Self {
            method: self.method.boxed(),
            rank: self.rank,
            alpha: self.alpha,
            targets: self.targets.clone(),
            rank_pattern: self.rank_pattern.clone(),
            alpha_pattern: self.alpha_pattern.clone(),
            modules_to_save: self.modules_to_save.clone(),
            task_type: self.task_type.clone(),
            base_model: self.base_model.clone(),
        }
    }
}

/// A site that gets, or would get, an adapter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttachedSite {
    /// Path of the layer.
    pub path: String,
    /// Input width.
    pub d_in: usize,
    /// Output width.
    pub d_out: usize,
    /// Rank there.
    pub rank: usize,
    /// Alpha there.
    pub alpha: f64,
    /// Parameters that train there.
    pub trainable: usize,
}

/// What attaching did, or would do.
#[derive(Debug, Clone, Default)]
pub struct AttachReport {
    /// Adapted sites in the model's order.
    pub sites: Vec<AttachedSite>,
    /// Target entries that matched nothing.
    pub unmatched: Vec<UnmatchedTarget>,
    /// Names of base parameters trained as a whole.
    pub saved: Vec<String>,
}

impl AdapterSpec {
    /// A dry run over a model's sites: what would be adapted, with which rank, at which cost.
    ///
    /// # Errors
    /// When the targets select nothing, patterns are invalid, or a rank does not fit its site.
    pub fn plan(&self, sites: &[Site], output_heads: &[String]) -> Result<AttachReport, PeftError> {
        let heads: Vec<&str> = output_heads.iter().map(String::as_str).collect();
        let selection = self.targets.select(sites, &heads, &self.modules_to_save)?;
        let mut planned = Vec::with_capacity(selection.matched.len());
        for site in selection.matched.iter().map(|index| &sites[*index]) {
            let rank = *pattern_value(&self.rank_pattern, &site.path)?.unwrap_or(&self.rank);
            let alpha = *pattern_value(&self.alpha_pattern, &site.path)?.unwrap_or(&self.alpha);
            if rank == 0 {
                return Err(PeftError::Rank {
                    site: site.path.clone(),
                    rank,
                    limit: site.d_in.min(site.d_out),
                });
            }
            planned.push(AttachedSite {
                path: site.path.clone(),
                d_in: site.d_in,
                d_out: site.d_out,
                rank,
                alpha,
                trainable: self.method.trainable(site, rank),
            });
        }
        Ok(AttachReport {
            sites: planned,
            unmatched: selection.unmatched,
            saved: Vec::new(),
        })
    }
}

/// Attaches a fresh adapter called `name`; afterwards only it is active, and only it and the saved modules train.
///
/// # Errors
/// [`PeftError::NameTaken`], anything [`AdapterSpec::plan`] reports, or what the method reports for a site.
pub fn attach<M: Adaptable>(
    mut model: M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
    seed: u64,
) -> Result<(M, AttachReport), PeftError> {
    let mut report = spec.plan(&model.sites(), &model.output_heads())?;
    let mut trains = HashSet::new();
    let mut failure = None;
    let mut planned = report.sites.iter().peekable();
    let mut trained = Vec::new();
    model.visit_linears_mut(&mut |linear| {
        if failure.is_some() {
            return;
        }
        if linear.adapter(name).is_some() {
            failure = Some(PeftError::NameTaken { name: name.into() });
            return;
        }
        linear.activate(&[]);
        let Some(at) = planned.next_if(|at| at.path == linear.site().path) else {
            return;
        };
        let created = spec.method.create(&Slot {
            site: linear.site(),
            weight: &linear.weight.val(),
            adapter: name,
            rank: at.rank,
            alpha: at.alpha,
            seed,
        });
        match created {
            Ok(adapter) => {
                trains.extend(fields::trained_ids(&adapter));
                trained.push(fields::trained_size(&adapter));
                linear.insert(name, adapter);
                linear.activate(&[(name, 1.0)]);
            }
            Err(error) => failure = Some(error),
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    // A plan knows no weights; where a method's size depends on them, only now is it known.
    for (site, trained) in report.sites.iter_mut().zip(trained) {
        site.trainable = trained;
    }
    let (saved_ids, saved) = saved_modules(names, &spec.modules_to_save);
    trains.extend(saved_ids);
    report.saved = saved;
    Ok((mark_trainable(model, &trains), report))
}

/// Base parameters that belong to the modules in `modules_to_save`, by PEFT's rule: ids and names, sorted by name.
#[must_use]
pub fn saved_modules(names: &ParamNames, modules: &[String]) -> (Vec<ParamId>, Vec<String>) {
    let mut found: Vec<(ParamId, String)> = names
        .iter()
        .filter(|(_, name, _)| {
            let module = name.rsplit_once('.').map_or(*name, |(module, _)| module);
            ancestors(module).any(|path| is_saved_module(path, modules))
        })
        .map(|(id, name, _)| (id, name.to_owned()))
        .collect();
    found.sort_by(|left, right| left.1.cmp(&right.1));
    found.into_iter().unzip()
}

/// `a.b.c`, then `a.b`, then `a`: a parameter is saved when any module above it is.
fn ancestors(module: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(module), |path| {
        path.rsplit_once('.').map(|(above, _)| above)
    })
}

/// Removes the adapter called `name` from every layer.
///
/// # Errors
/// [`PeftError::UnknownAdapter`] when no layer has it.
pub fn detach<M: Adaptable>(mut model: M, name: &str) -> Result<M, PeftError> {
    require_adapters(&model, &[name])?;
    model.visit_linears_mut(&mut |linear| drop(linear.remove(name)));
    Ok(model)
}

/// Makes exactly these adapters active, each with its weight; an empty list gives the base model's outputs.
///
/// # Errors
/// [`PeftError::UnknownAdapter`] when a name exists nowhere in the model.
pub fn select_adapters<M: Adaptable>(
    mut model: M,
    weights: &[(&str, f64)],
) -> Result<M, PeftError> {
    let names: Vec<&str> = weights.iter().map(|(name, _)| *name).collect();
    require_adapters(&model, &names)?;
    model.visit_linears_mut(&mut |linear| linear.activate(weights));
    Ok(model)
}

fn require_adapters<M: Adaptable>(model: &M, names: &[&str]) -> Result<(), PeftError> {
    let mut known = std::collections::BTreeSet::new();
    model.visit_linears(&mut |linear| known.extend(linear.adapter_names().map(str::to_owned)));
    match names.iter().find(|name| !known.contains(**name)) {
        None => Ok(()),
        Some(name) => Err(PeftError::UnknownAdapter {
            name: (*name).to_owned(),
            known: known.into_iter().collect::<Vec<_>>().join(", "),
        }),
    }
}
