//! Attaching adapters to a model: which sites, which rank, what trains.

mod checks;

use std::collections::HashSet;

use burn::module::ParamId;

use crate::adaptable::Adaptable;
use crate::adapter::AnyAdapter;
use crate::attached_site::AttachedSite;
use crate::base_params::{BiasTraining, saved_parameters, trained_biases};
use crate::copy::TrainedCopy;
use crate::error::PeftError;
use crate::fields;
use crate::linear::AdaptedLinear;
use crate::method::{Peers, Slot};
use crate::names::ParamNames;
use crate::site_layout;
use crate::spec::AdapterSpec;
use crate::target::UnmatchedTarget;
use crate::tie::TieGroups;
use crate::trainable::mark_trainable;
use peft_format::{LARGEST_ALPHA, LARGEST_RANK, Site};

pub use checks::require_saved_modules;
use checks::{require_effective_weight, require_fields, require_no_dropout, require_paths};

/// What attaching did, or would do.
#[derive(Debug, Clone, Default)]
pub struct AttachReport {
    /// Adapted sites in the model's order.
    pub sites: Vec<AttachedSite>,
    /// Target entries that matched nothing.
    pub unmatched: Vec<UnmatchedTarget>,
    /// Names of the parameters of modules that are trained and saved as a whole.
    pub saved: Vec<String>,
    /// Names of parameters of the base itself that the adapter changes: trained biases, and parameters of saved
    /// modules that are no layers. A model with such an adapter serves no other.
    pub changed: Vec<String>,
}

impl AdapterSpec {
    /// A dry run over a model's sites: what would be adapted, with which rank, at which cost.
    ///
    /// # Errors
    /// When the targets select nothing, patterns are invalid, or a rank does not fit its site.
    pub fn plan(&self, sites: &[Site], output_heads: &[String]) -> Result<AttachReport, PeftError> {
        require_paths(sites)?;
        let heads: Vec<&str> = output_heads.iter().map(String::as_str).collect();
        let selection = self.targets.select(sites, &heads, &self.modules_to_save)?;
        let ranks = self.ranks();
        let matched: Vec<&Site> = selection
            .matched
            .iter()
            .map(|index| &sites[*index])
            .collect();
        let mut planned = Vec::with_capacity(matched.len());
        for site in &matched {
            let (rank, alpha) = ranks.at(&site.path)?;
            if !self.method.adapts(site.kind) {
                return Err(PeftError::SiteKind {
                    method: self.method.entry().id,
                    site: site.path.clone(),
                    kind: site.kind,
                });
            }
            if !(1..=LARGEST_RANK).contains(&rank) {
                return Err(PeftError::Rank {
                    site: site.path.clone(),
                    rank,
                    limit: LARGEST_RANK,
                });
            }
            if alpha.abs() > LARGEST_ALPHA {
                return Err(PeftError::Alpha {
                    site: site.path.clone(),
                    alpha,
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
        self.count_once(&matched, &mut planned)?;
        require_fields(self, &planned)?;
        Ok(AttachReport {
            sites: planned,
            unmatched: selection.unmatched,
            saved: Vec::new(),
            changed: Vec::new(),
        })
    }

    /// Takes what a site shares off its count, and adds what all have once to the first's.
    fn count_once(&self, sites: &[&Site], planned: &mut [AttachedSite]) -> Result<(), PeftError> {
        let common = site_layout::trainable(&self.method.common(planned)?);
        if let Some(first) = planned.first_mut() {
            first.trainable = first.trainable.saturating_add(common);
        }
        for share in self.method.shares(sites) {
            let Some(at) = planned.iter().position(|at| at.path == share.site) else {
                continue;
            };
            let layout = (self.method).layout(sites[at], planned[at].rank, planned[at].alpha);
            let mut shared = layout.tensors;
            shared.retain(|tensor| tensor.name.field == share.field);
            let shared = site_layout::trainable(&shared);
            planned[at].trainable = planned[at].trainable.saturating_sub(shared);
        }
        Ok(())
    }
}

/// Attaches a fresh adapter called `name`; afterwards only it is active, and only it and the modules saved with it
/// train.
///
/// Saved modules that are layers become [`crate::TrainedCopy`]s of the adapter; other parameters of saved modules,
/// such as layer norms, and trained biases are changed in the base itself.
///
/// # Errors
/// [`PeftError::NameTaken`], anything [`AdapterSpec::plan`] reports, what the method reports for a site, and
/// [`PeftError::ChangesBase`] when the base itself would change under another adapter. In a [`crate::Hosted`] model
/// [`PeftError::NoEffectiveWeight`] for methods whose forward depends on the input, and [`PeftError::Option`] for dropout.
pub fn attach<M: Adaptable>(
    model: M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
    seed: u64,
) -> Result<(M, AttachReport), PeftError> {
    if model.runs_by_weights() {
        require_no_dropout(spec)?;
    }
    place(model, names, name, spec, seed)
}

/// As [`attach`], for an adapter that was trained already, whatever dropout it was trained with.
pub(crate) fn place<M: Adaptable>(
    mut model: M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
    seed: u64,
) -> Result<(M, AttachReport), PeftError> {
    let mut report = spec.plan(&model.sites(), &model.output_heads())?;
    let (saved_ids, saved) = saved_parameters(names, &spec.modules_to_save, &spec.copied_modules);
    untie(&mut model, &report, &saved);
    let mut attaching = Attaching {
        name,
        spec,
        seed,
        by_weights: model.runs_by_weights(),
        saved: saved_ids.iter().copied().collect(),
        copied: HashSet::new(),
        trains: HashSet::new(),
        sites: &report.sites,
        first: None,
    };
    let mut failure = None;
    let mut others = false;
    let mut planned = report.sites.iter().peekable();
    model.visit_linears_mut(&mut |linear| {
        if failure.is_some() {
            return;
        }
        others |= linear.has_adapters();
        let at = planned.next_if(|at| at.path == linear.site().path);
        failure = attaching.layer(linear, at).err();
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let changed = changed_in_base(&report, names, spec.bias, &attaching);
    let mut trains = attaching.trains;
    report.changed = changed
        .iter()
        .filter_map(|id| Some(names.get(*id)?.0.to_owned()))
        .collect();
    if others && let Some(parameter) = report.changed.first() {
        return Err(PeftError::ChangesBase {
            name: name.to_owned(),
            parameter: parameter.clone(),
        });
    }
    trains.extend(changed);
    report.saved = saved;
    let ties = TieGroups::of(&model, name, spec.method.as_ref())?;
    count_trained(&mut report, &model, name, &ties);
    let model = mark_trainable(ties.broadcast(model), &trains);
    Ok((model, report))
}

/// A plan knows no weights; where a method's size depends on them, only an attached adapter tells it.
fn count_trained<M: Adaptable>(report: &mut AttachReport, model: &M, name: &str, ties: &TieGroups) {
    let followers = ties.followers();
    let mut sites = report.sites.iter_mut().peekable();
    model.visit_linears(&mut |linear| {
        let site = sites.next_if(|site| site.path == linear.site().path);
        if let (Some(site), Some(adapter)) = (site, linear.adapter(name)) {
            site.trainable = fields::trained_size(adapter, &followers);
        }
    });
}

/// Makes a tied output layer one of its own where the adapter changes or saves it.
fn untie<M: Adaptable>(model: &mut M, report: &AttachReport, saved: &[String]) {
    if let Some(tied) = model.tied() {
        let adapted = report.sites.iter().any(|site| site.path == tied.output);
        let [_, output] = tied.weights();
        if adapted || saved.contains(&output) {
            model.untie();
        }
    }
}

/// What the layers of a model get, and what of it trains.
struct Attaching<'a> {
    name: &'a str,
    spec: &'a AdapterSpec,
    seed: u64,
    /// Whether the model runs by effective weights, which every adapter must have then.
    by_weights: bool,
    /// Base parameters of saved modules.
    saved: HashSet<ParamId>,
    /// Those of them that a layer's copy replaces.
    copied: HashSet<ParamId>,
    trains: HashSet<ParamId>,
    sites: &'a [AttachedSite],
    /// The adapter of the first of them.
    first: Option<AnyAdapter>,
}

impl Attaching<'_> {
    fn layer(
        &mut self,
        linear: &mut AdaptedLinear,
        at: Option<&AttachedSite>,
    ) -> Result<(), PeftError> {
        let name = self.name;
        if linear.adapter(name).is_some() {
            return Err(PeftError::NameTaken { name: name.into() });
        }
        linear.activate(&[]);
        if at.is_some() {
            linear.weight.initialize();
        }
        let adapter = match at {
            Some(at) => self.spec.method.create(&Slot {
                site: linear.site(),
                weight: &linear.weight,
                adapter: name,
                rank: at.rank,
                alpha: at.alpha,
                seed: self.seed,
                cache: self.spec.cache.as_deref(),
                peers: Peers {
                    sites: self.sites,
                    first: self.first.as_ref(),
                },
            })?,
            None if self.saved.contains(&linear.weight.id()) => {
                self.copied.insert(linear.weight.id());
                self.copied.extend(linear.bias.as_ref().map(|bias| bias.id));
                TrainedCopy::of(linear, name)
            }
            None => return Ok(()),
        };
        if self.by_weights {
            require_effective_weight(self.spec, linear, &adapter)?;
        }
        self.trains.extend(fields::trained_ids(&adapter));
        if at.is_some() && self.first.is_none() {
            self.first = Some(adapter.clone());
        }
        linear.insert(name, adapter);
        linear.activate(&[(name, 1.0)]);
        Ok(())
    }
}

/// Base parameters that train in place: those of saved modules that are no layers, and the biases asked for.
fn changed_in_base(
    report: &AttachReport,
    names: &ParamNames,
    bias: BiasTraining,
    attaching: &Attaching<'_>,
) -> Vec<ParamId> {
    let sites: Vec<&str> = report.sites.iter().map(|site| site.path.as_str()).collect();
    let biases = trained_biases(bias, names, &sites);
    let mut changed: Vec<ParamId> = attaching.saved.iter().copied().chain(biases).collect();
    changed.retain(|id| !attaching.copied.contains(id));
    changed
}
