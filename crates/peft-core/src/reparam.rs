//! The second host: Burn's own reparameterization, for any Burn module that knows nothing of this crate.
//!
//! `W_effective = W + sum_i w_i (effective_i(W) - W)` is formed densely in every forward and backward pass: correct
//! everywhere, but without dropout, and with one weight for all rows of a batch. [`crate::AdaptedLinear`] is the fast
//! host, and the one for rows with adapters of their own.

use std::collections::{BTreeMap, HashSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId, Reparameterization, Reparameterizer};
use burn::tensor::Tensor;
use peft_format::Site;

use crate::attach::{AdapterSpec, AttachReport};
use crate::erased::AnyAdapter;
use crate::error::PeftError;
use crate::fields;
use crate::method::Slot;
use crate::trainable::mark_trainable;
use crate::values::set_values;

/// The adapters of one weight `[d_in, d_out]`, and how much each counts.
#[derive(Module, Debug)]
pub struct Reparameterized {
    terms: Vec<Term>,
}

#[derive(Module, Debug)]
struct Term {
    adapter: AnyAdapter,
    weight: f64,
}

impl Reparameterization for Reparameterized {
    const NAME: &'static str = "peft";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let shape = base.shape();
        let dims = base.dims();
        let base: Tensor<2> = base.reshape([dims[0], dims[1]]);
        let effective = |adapter: &AnyAdapter| {
            adapter
                .effective_weight(base.clone())
                .expect("refused when it was attached if there is no effective weight")
        };
        let sum = match self.terms.as_slice() {
            [only] if only.weight == 1.0 => effective(&only.adapter),
            terms => terms.iter().fold(base.clone(), |sum, term| {
                sum + (effective(&term.adapter) - base.clone()).mul_scalar(term.weight)
            }),
        };
        sum.reshape(shape)
    }
}

/// What [`reparameterize`] attached.
#[derive(Debug)]
pub struct Attached {
    /// Sites, ranks, parameters.
    pub report: AttachReport,
    /// Each adapted layer's path with its adapter as it was attached; [`Attached::current`] has today's values.
    adapters: Vec<(String, AnyAdapter)>,
}

impl Attached {
    /// Every adapter with the values it has in `model` now, by the path of its layer.
    ///
    /// Burn hides a parameter's reparameterization from visitors but shows its nested parameters, so the values are
    /// found by their ids.
    pub fn current<M: Module>(&self, model: &M) -> Vec<(String, AnyAdapter)> {
        let mut reader = ValueReader::default();
        model.visit(&mut reader);
        self.adapters
            .iter()
            .map(|(path, adapter)| {
                let adapter = set_values(adapter.valid(), reader.values.clone());
                (path.clone(), adapter)
            })
            .collect()
    }
}

/// Attaches a fresh adapter to the matching `Linear` layers of any Burn module; afterwards only it trains.
///
/// Site paths are Burn's module paths, for example `encoder.layers.0.linear_inner`.
///
/// # Errors
/// Anything [`AdapterSpec::plan`] reports, what the method reports for a site, and
/// [`PeftError::NoEffectiveWeight`] for methods whose forward depends on the input.
pub fn reparameterize<M: Module>(
    model: M,
    spec: &AdapterSpec,
    seed: u64,
) -> Result<(M, Attached), PeftError> {
    let mut finder = LinearFinder::default();
    model.visit(&mut finder);
    let sites: Vec<Site> = finder.found.iter().map(|(site, _)| site.clone()).collect();
    let report = spec.plan(&sites, &[])?;
    let mut adapters = BTreeMap::new();
    for at in &report.sites {
        if let Some(owner) = spec.method.shares_with(&at.path) {
            return Err(PeftError::Shares {
                site: at.path.clone(),
                owner: owner.to_owned(),
                problem: "which Burn's reparameterization cannot tie; take a model made of `AdaptedLinear`".into(),
            });
        }
        let Some((site, weight)) = finder.found.iter().find(|(site, _)| site.path == at.path)
        else {
            continue;
        };
        let adapter = spec.method.create(&Slot {
            site,
            weight,
            adapter: "default",
            rank: at.rank,
            alpha: at.alpha,
            seed,
            cache: spec.cache.as_deref(),
        })?;
        require_effective_weight(&adapter, weight, spec.method.entry().id)?;
        adapters.insert(format!("{}.weight", site.path), adapter);
    }
    let trains: HashSet<_> = adapters.values().flat_map(fields::trained_ids).collect();
    let attached = Attached {
        report,
        adapters: adapters
            .iter()
            .map(|(path, adapter)| (path.trim_end_matches(".weight").to_owned(), adapter.clone()))
            .collect(),
    };
    let terms = adapters
        .into_iter()
        .map(|(path, adapter)| {
            let weight = 1.0;
            (path, vec![Term { adapter, weight }])
        })
        .collect();
    let model = model.apply_reparameterization(Attach { terms });
    Ok((mark_trainable(model, &trains), attached))
}

/// Hosts adapters that exist already, each a list of layer paths with their adapters and a weight; they add up.
///
/// Start from the base model each time: to switch is to call this again on it with other adapters.
///
/// # Errors
/// [`PeftError::NoEffectiveWeight`] for methods whose forward depends on the input, and [`PeftError::Mismatch`] for
/// paths that are no `Linear` layer of the model.
pub fn host_adapters<M: Module>(
    model: M,
    adapters: &[(&[(String, AnyAdapter)], f64)],
) -> Result<M, PeftError> {
    let mut finder = LinearFinder::default();
    model.visit(&mut finder);
    let mut terms: BTreeMap<String, Vec<Term>> = BTreeMap::new();
    let mut problems = Vec::new();
    for (path, adapter, weight) in adapters
        .iter()
        .flat_map(|(layers, weight)| layers.iter().map(move |(path, a)| (path, a, *weight)))
    {
        let Some((_, base)) = finder.found.iter().find(|(site, _)| site.path == *path) else {
            problems.push(format!("`{path}` is no Linear layer of this model"));
            continue;
        };
        require_effective_weight(adapter, base, "of this adapter")?;
        terms
            .entry(format!("{path}.weight"))
            .or_default()
            .push(Term {
                adapter: adapter.clone(),
                weight,
            });
    }
    if !problems.is_empty() {
        return Err(PeftError::Mismatch {
            adapter: "(hosted)".into(),
            problems,
        });
    }
    Ok(model.apply_reparameterization(Attach { terms }))
}

fn require_effective_weight(
    adapter: &AnyAdapter,
    weight: &Tensor<2>,
    method: &'static str,
) -> Result<(), PeftError> {
    match adapter.effective_weight(weight.clone()) {
        Ok(_) => Ok(()),
        Err(reason) => Err(PeftError::NoEffectiveWeight {
            method,
            action: "run as a reparameterization of the weight",
            reason,
        }),
    }
}

struct Attach {
    terms: BTreeMap<String, Vec<Term>>,
}

impl Reparameterizer for Attach {
    type Reparam = Reparameterized;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<Reparameterized>) {
        let terms = self.terms.remove(path);
        (param, terms.map(|terms| Reparameterized { terms }))
    }
}

/// Finds the weights of Burn's `Linear` layers.
#[derive(Default)]
struct LinearFinder {
    path: Vec<(String, String)>,
    found: Vec<(Site, Tensor<2>)>,
}

impl ModuleVisitor for LinearFinder {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push((name.to_owned(), container.to_owned()));
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let is_linear_weight = self
            .path
            .last()
            .is_some_and(|(name, container)| name == "weight" && container == "Struct:Linear");
        if D != 2 || !is_linear_weight {
            return;
        }
        let above = &self.path[..self.path.len() - 1];
        let path: Vec<&str> = above.iter().map(|(name, _)| name.as_str()).collect();
        let dims = param.lazy_shape();
        let site = Site::new(path.join("."), dims[0], dims[1]);
        self.found
            .push((site, param.base().reshape([dims[0], dims[1]])));
    }
}

#[derive(Default)]
struct ValueReader {
    values: BTreeMap<ParamId, Vec<f32>>,
}

impl ModuleVisitor for ValueReader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.base().into_data().iter::<f32>().collect();
        self.values.insert(param.id, values);
    }
}
