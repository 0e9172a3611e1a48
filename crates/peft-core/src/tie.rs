//! Tie groups: several parameters that are one.
//!
//! Burn steps each parameter id once, so clones of one parameter in several layers would drift apart. A tie group
//! sums its members' gradients into the owner before the optimizer's step and copies the owner into the members
//! after it: `g_owner = sum_i g_i`, then `p_i = p_owner`.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use indexmap::IndexMap;

use crate::adaptable::Adaptable;
use crate::error::PeftError;
use crate::fields;
use crate::method::Method;

/// Parameters of equal shape (`[d_in, rank]` or `[rank, d_out]`) that share one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TieGroup {
    /// The parameter that the optimizer steps, that is counted and saved.
    pub owner: ParamId,
    /// The parameters that follow it.
    pub members: Vec<ParamId>,
}

/// All tie groups of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TieGroups(pub Vec<TieGroup>);

impl TieGroups {
    /// The groups of the adapter called `name` whose sites share values, as its method says.
    ///
    /// # Errors
    /// [`PeftError::Shares`] when a site is to share with one that is not adapted, has no values of its own or has others in number or shape.
    pub fn of<M: Adaptable>(model: &M, name: &str, method: &dyn Method) -> Result<Self, PeftError> {
        let mut adapters = IndexMap::new();
        model.visit_linears(&mut |linear| {
            if let Some(adapter) = linear.adapter(name) {
                adapters.insert(linear.site().path.clone(), fields::ids(adapter));
            }
        });
        let mut groups: IndexMap<ParamId, Vec<ParamId>> = IndexMap::new();
        for (site, own) in &adapters {
            let Some(owner) = method.shares_with(site) else {
                continue;
            };
            let refuse = |problem: &str| PeftError::Shares {
                site: site.clone(),
                owner: owner.to_owned(),
                problem: problem.to_owned(),
            };
            if method.shares_with(owner).is_some() {
                return Err(refuse(
                    "which shares one itself; name the site that it shares with",
                ));
            }
            let theirs = adapters.get(owner);
            let theirs =
                theirs.ok_or_else(|| refuse("which is not adapted; adapt both or neither"))?;
            let shapes = |fields: &BTreeMap<String, (ParamId, Vec<usize>)>| -> Vec<Vec<usize>> {
                fields.values().map(|(_, shape)| shape.clone()).collect()
            };
            if shapes(own) != shapes(theirs) {
                return Err(refuse(
                    "which has another size or rank; let sites of one size share",
                ));
            }
            for ((member, _), (owner, _)) in own.values().zip(theirs.values()) {
                groups.entry(*owner).or_default().push(*member);
            }
        }
        let group = |(owner, members)| TieGroup { owner, members };
        Ok(Self(groups.into_iter().map(group).collect()))
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
            let mut sum = grads.remove::<2>(group.owner);
            for member in &group.members {
                let grad = grads.remove::<2>(*member);
                sum = match (sum, grad) {
                    (Some(sum), Some(grad)) => Some(sum + grad),
                    (sum, grad) => sum.or(grad),
                };
            }
            if let Some(sum) = sum {
                grads.register(group.owner, sum);
            }
        }
    }

    /// Copies every owner's value into its members.
    #[must_use]
    pub fn broadcast<M: Module>(&self, model: M) -> M {
        if self.0.is_empty() {
            return model;
        }
        let owners = self.0.iter().map(|group| group.owner).collect();
        let mut finder = OwnerFinder {
            owners,
            values: HashMap::new(),
        };
        model.visit(&mut finder);
        let mut values = HashMap::new();
        for group in &self.0 {
            if let Some(value) = finder.values.get(&group.owner) {
                values.extend(group.members.iter().map(|member| (*member, value.clone())));
            }
        }
        model.map(&mut Follow { values })
    }
}

struct OwnerFinder {
    owners: HashSet<ParamId>,
    values: HashMap<ParamId, Tensor<2>>,
}

impl ModuleVisitor for OwnerFinder {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.owners.contains(&param.id) {
            let value = param.val();
            let dims = value.dims();
            assert_eq!(D, 2, "tied parameters are factors of rank 2");
            // `detach` would keep the requirement of a gradient, and a reshaped copy could not be a leaf again.
            let value = if value.is_autodiff() {
                Tensor::from_inner(value.inner())
            } else {
                value
            };
            self.values
                .insert(param.id, value.reshape([dims[0], dims[1]]));
        }
    }
}

struct Follow {
    values: HashMap<ParamId, Tensor<2>>,
}

impl ModuleMapper for Follow {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.values.remove(&param.id) else {
            return param;
        };
        param.map(|old| {
            let copy = value.reshape(old.dims());
            if old.is_require_grad() {
                copy.require_grad()
            } else {
                copy
            }
        })
    }
}
