//! The second host: Burn's own reparameterization, for any Burn module that knows nothing of this crate.
//!
//! `W_effective = effective_weight(W)` is formed densely in every forward and backward pass: correct everywhere, one
//! adapter per parameter, no dropout. [`crate::AdaptedLinear`] is the fast host.

use std::collections::{BTreeMap, HashSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId, Reparameterization, Reparameterizer};
use burn::tensor::{Shape, Tensor};

use crate::attach::{AdapterSpec, AttachReport};
use crate::erased::AnyAdapter;
use crate::error::PeftError;
use crate::fields;
use crate::method::Slot;
use crate::site::Site;
use crate::trainable::mark_trainable;
use crate::values::set_values;

/// An adapter attached to one weight `[d_in, d_out]`.
#[derive(Module, Debug)]
pub struct Reparameterized {
    /// The adapter, of any method.
    pub adapter: AnyAdapter,
}

impl Reparameterization for Reparameterized {
    const NAME: &'static str = "peft";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let dims = base.dims();
        let weight: Tensor<2> = base.reshape([dims[0], dims[1]]);
        let effective = self
            .adapter
            .effective_weight(weight)
            .expect("refused when it was attached if there is no effective weight");
        effective.reshape(Shape::from(dims.to_vec()))
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
        })?;
        adapter.effective_weight(weight.clone()).map_err(|reason| {
            PeftError::NoEffectiveWeight {
                method: spec.method.entry().id,
                action: "run as a reparameterization of the weight",
                reason,
            }
        })?;
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
    let model = model.apply_reparameterization(Attach { adapters });
    Ok((mark_trainable(model, &trains), attached))
}

struct Attach {
    adapters: BTreeMap<String, AnyAdapter>,
}

impl Reparameterizer for Attach {
    type Reparam = Reparameterized;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<Reparameterized>) {
        let adapter = self.adapters.remove(path);
        (param, adapter.map(|adapter| Reparameterized { adapter }))
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
