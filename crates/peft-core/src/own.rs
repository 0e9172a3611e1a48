//! Names for a model of one's own: every parameter is called by its path in the Burn module.
//!
//! A path is what Burn calls the way to a parameter: names of fields, indices in `Vec`s, arrays and tuples, variants of enums. It names the
//! parameter in files and, through [`param_id`], in optimizer states, so that both find it in another process.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Int, Tensor};

use crate::adaptable::Adaptable;
use crate::error::PeftError;
use crate::names::{Layout, ParamNames, module_of, param_id};

/// What Burn calls a layer whose weight is that of a linear map.
const LINEARS: [&str; 2] = ["Struct:Linear", "Struct:AdaptedLinear"];

/// Names every parameter of a model by its path and gives it the id of that name; adapted layers get their sites from it.
///
/// Weights of linear layers are `[d_out, d_in]` in files, as in PyTorch; everything else is in files as in memory. Call it before adapters
/// are attached, and again after the model was built anew: the same model gives the same names and ids. What Burn updates in a forward pass
/// (running statistics of `BatchNorm`) is no parameter and has no name.
///
/// # Errors
/// [`PeftError::Model`] with every parameter that stands at two places of the model, and every adapted layer that the model does not visit
/// ([`Adaptable::visit_linears`]).
pub fn named<M: Adaptable>(model: M) -> Result<(M, ParamNames), PeftError> {
    let (mut model, Paths { mut names, layers }) = by_path(model)?;
    let mut unvisited: BTreeMap<ParamId, String> = layers;
    model.visit_linears_mut(&mut |linear| {
        if let Some(path) = unvisited.remove(&linear.weight.id()) {
            linear.set_path(&path);
            names.insert(&format!("{path}.weight"), linear.site().kind.layout());
        }
    });
    let problem = |path: &String| {
        format!(
            "`{path}` is an adapted layer, but `visit_linears` does not come by it: visit it, or make it a plain `Linear`"
        )
    };
    let problems: Vec<String> = unvisited.values().map(problem).collect();
    if problems.is_empty() {
        Ok((model, names))
    } else {
        Err(PeftError::Model { problems })
    }
}

/// What naming a module finds.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// Names and layouts of the parameters.
    pub(crate) names: ParamNames,
    /// Paths of the adapted layers by the ids of their weights.
    layers: BTreeMap<ParamId, String>,
}

/// Gives every parameter of any module the id of its path.
pub(crate) fn by_path<M: Module>(model: M) -> Result<(M, Paths), PeftError> {
    let mut naming = Naming::default();
    let model = model.map(&mut naming);
    if !naming.problems.is_empty() {
        return Err(PeftError::Model {
            problems: naming.problems,
        });
    }
    let mut reading = Reading::default();
    model.visit(&mut reading);
    Ok((model, reading.paths))
}

/// Where a traversal is: names of modules with what Burn says of the container.
#[derive(Debug, Default)]
pub(crate) struct Place(Vec<(String, String)>);

impl Place {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.0.push((name.to_owned(), container.to_owned()));
    }

    pub(crate) fn exit(&mut self) {
        self.0.pop();
    }

    /// The path, in which the table of an adapted embedding has no name of its own.
    pub(crate) fn path(&self) -> String {
        let named = self
            .0
            .iter()
            .filter(|(_, container)| container != "Struct:AdaptedEmbedding");
        let names: Vec<&str> = named.map(|(name, _)| name.as_str()).collect();
        names.join(".")
    }

    /// Whether this is the field `name` of a struct that Burn calls so.
    pub(crate) fn is(&self, name: &str, container: &str) -> bool {
        let last = self.0.last();
        last.is_some_and(|(last, within)| last == name && within == container)
    }

    fn is_in(&self, container: &str) -> bool {
        self.0.iter().any(|(_, within)| within == container)
    }
}

#[derive(Default)]
struct Naming {
    place: Place,
    /// Paths by the ids that the parameters had.
    seen: HashMap<ParamId, String>,
    problems: Vec<String>,
}

impl Naming {
    fn id(&mut self, old: ParamId) -> ParamId {
        let path = self.place.path();
        // An adapter's own parameters have their ids from its name and site.
        if self.place.is_in("Adapter") {
            return old;
        }
        if let Some(first) = self.seen.insert(old, path.clone()) {
            self.problems.push(format!(
                "`{first}` and `{path}` are one parameter to Burn, by a clone of a module for example: initialize each by itself"
            ));
        }
        param_id(&path)
    }
}

impl ModuleMapper for Naming {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
        if container == "Struct:Hosted" && name == "base" {
            let problem = "a hosted model cannot be a part of another one: host the whole";
            self.problems.push(problem.to_owned());
        }
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.place.exit();
    }
    fn map_float<const D: usize>(&mut self, mut param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.id = self.id(param.id);
        param
    }
    fn map_int<const D: usize>(
        &mut self,
        mut param: Param<Tensor<D, Int>>,
    ) -> Param<Tensor<D, Int>> {
        param.id = self.id(param.id);
        param
    }
    fn map_bool<const D: usize>(
        &mut self,
        mut param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        param.id = self.id(param.id);
        param
    }
}

#[derive(Default)]
struct Reading {
    place: Place,
    paths: Paths,
}

impl ModuleVisitor for Reading {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.place.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.place.path();
        // Running statistics and adapters keep the ids that they had.
        if param.id != param_id(&path) {
            return;
        }
        let is_linear = D == 2 && LINEARS.iter().any(|layer| self.place.is("weight", layer));
        let layout = if is_linear {
            Layout::Transposed
        } else {
            Layout::AsIs
        };
        self.paths.names.insert(&path, layout);
        if self.place.is("weight", "Struct:AdaptedLinear") {
            let layer = module_of(&path).to_owned();
            self.paths.layers.insert(param.id, layer);
        }
    }
}
