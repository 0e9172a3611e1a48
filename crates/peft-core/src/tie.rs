//! Tie groups: several parameters that are one.
//!
//! Burn steps each parameter id once, so clones of one parameter in several layers would drift apart. A tie group
//! sums its members' gradients into the owner before the optimizer's step and copies the owner into the members
//! after it: `g_owner = sum_i g_i`, then `p_i = p_owner`.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::module::{Module, ParamId};
use burn::optim::GradientsParams;
use indexmap::IndexMap;
use peft_format::Site;

use crate::adaptable::Adaptable;
use crate::adapter::AnyAdapter;
use crate::by_id::ValuesById;
use crate::error::PeftError;
use crate::fields;
use crate::method::{Method, Share};

/// Parameters of equal shape that share one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TieGroup {
    /// The parameter that the optimizer steps, that is counted and saved.
    pub owner: ParamId,
    /// The parameters that follow it.
    pub members: Vec<ParamId>,
    /// How many axes each has, 1 to 4.
    pub axes: usize,
}

/// All tie groups of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TieGroups(pub Vec<TieGroup>);

impl TieGroups {
    /// The groups of the adapter called `name`: tensors that its method shares between sites ([`Method::shares`]), and those that it has
    /// once for all sites ([`crate::TensorName::common`]), of which the first site is the owner.
    ///
    /// # Errors
    /// [`PeftError::Shares`] when a site is to share with one that is not adapted, shares itself or has another shape.
    pub fn of<M: Adaptable>(model: &M, name: &str, method: &dyn Method) -> Result<Self, PeftError> {
        let mut adapted = Adapted::default();
        model.visit_linears(&mut |linear| {
            if let Some(adapter) = linear.adapter(name) {
                adapted.add(linear.site(), adapter);
            }
        });
        let sites: Vec<&Site> = adapted.sites.iter().collect();
        let shares = method.shares(&sites);
        adapted.shared = shares
            .iter()
            .map(|share| (share.site.clone(), share.field))
            .collect();
        for share in &shares {
            adapted.tie(share)?;
        }
        Ok(adapted.groups())
    }

    /// Every member that is not an owner: to be left out of counts and files.
    #[must_use]
    pub fn followers(&self) -> HashSet<ParamId> {
        self.0
            .iter()
            .flat_map(|group| group.members.iter().copied())
            .collect()
    }

    /// Moves the members' gradients into their owners; members end without a gradient.
    pub fn gather(&self, grads: &mut GradientsParams) {
        for group in &self.0 {
            match group.axes {
                1 => group.gather::<1>(grads),
                2 => group.gather::<2>(grads),
                3 => group.gather::<3>(grads),
                _ => group.gather::<4>(grads),
            }
        }
    }

    /// Copies every owner's value into its members.
    #[must_use]
    pub fn broadcast<M: Module>(&self, model: M) -> M {
        if self.0.is_empty() {
            return model;
        }
        let owners: HashSet<ParamId> = self.0.iter().map(|group| group.owner).collect();
        let values = ValuesById::of(&model, |id, _| owners.contains(&id));
        let members = self.0.iter().flat_map(|group| {
            let member = |member: &ParamId| (*member, group.owner);
            group.members.iter().map(member)
        });
        let owner_of: HashMap<ParamId, ParamId> = members.collect();
        values.give(model, |id| owner_of.get(&id).copied())
    }
}

impl TieGroup {
    fn gather<const D: usize>(&self, grads: &mut GradientsParams) {
        let mut sum = grads.remove::<D>(self.owner);
        for member in &self.members {
            let grad = grads.remove::<D>(*member);
            sum = match (sum, grad) {
                (Some(sum), Some(grad)) => Some(sum + grad),
                (sum, grad) => sum.or(grad),
            };
        }
        if let Some(sum) = sum {
            grads.register(self.owner, sum);
        }
    }
}

/// A parameter and its shape.
type Parameter = (ParamId, Vec<usize>);

/// The parameters of an adapter by site and field, and what was tied of them.
#[derive(Default)]
struct Adapted {
    sites: Vec<Site>,
    fields: IndexMap<String, BTreeMap<String, Parameter>>,
    /// What another site has, by site and field.
    shared: HashSet<(String, &'static str)>,
    /// Owners of the tensors that there are once, by field.
    common: HashMap<String, ParamId>,
    members: IndexMap<ParamId, (usize, Vec<ParamId>)>,
}

impl Adapted {
    fn add(&mut self, site: &Site, adapter: &AnyAdapter) {
        let fields = fields::ids(adapter);
        let common = adapter.tensors().into_iter().filter(|name| name.common);
        for name in common {
            if let Some((id, shape)) = fields.get(&*name.field) {
                match self.common.get(&*name.field) {
                    Some(owner) => self.join(*owner, *id, shape.len()),
                    None => drop(self.common.insert(name.field.into_owned(), *id)),
                }
            }
        }
        self.sites.push(site.clone());
        self.fields.insert(site.path.clone(), fields);
    }

    fn join(&mut self, owner: ParamId, member: ParamId, axes: usize) {
        let (_, members) = self.members.entry(owner).or_insert((axes, Vec::new()));
        members.push(member);
    }

    fn tie(&mut self, share: &Share) -> Result<(), PeftError> {
        let Some(own) = self.field(&share.site, share.field) else {
            return Ok(());
        };
        let refuse = |problem: &str| PeftError::Shares {
            site: share.site.clone(),
            owner: share.owner.clone(),
            problem: problem.to_owned(),
        };
        if !self.fields.contains_key(&share.owner) {
            return Err(refuse("which is not adapted; adapt both or neither"));
        }
        if self.shared.contains(&(share.owner.clone(), share.field)) {
            return Err(refuse(
                "which shares one itself; name the site that it shares with",
            ));
        }
        let theirs = self.field(&share.owner, share.field);
        let Some(theirs) = theirs.filter(|theirs| theirs.1 == own.1) else {
            return Err(refuse(
                "which has another size or rank; let sites of one size share",
            ));
        };
        self.join(theirs.0, own.0, own.1.len());
        Ok(())
    }

    fn field(&self, site: &str, field: &str) -> Option<Parameter> {
        self.fields.get(site)?.get(field).cloned()
    }

    fn groups(self) -> TieGroups {
        let group = |(owner, (axes, members))| TieGroup {
            owner,
            members,
            axes,
        };
        TieGroups(self.members.into_iter().map(group).collect())
    }
}
