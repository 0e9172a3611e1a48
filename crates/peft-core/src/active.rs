//! Several adapters in one model: which are there, which are active, with which strength.

use serde::Serialize;

use crate::adaptable::Adaptable;
use crate::error::PeftError;
use crate::fields;

/// What one layer holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerStatus {
    /// Path of the layer.
    pub path: String,
    /// Its adapters, in the order of insertion.
    pub adapters: Vec<AdapterStatus>,
}

/// One adapter of one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterStatus {
    /// Name of the adapter.
    pub name: String,
    /// Factor of its delta; `None` while it is inactive.
    pub weight: Option<f64>,
    /// Its tensors as files call them.
    pub tensors: Vec<String>,
    /// Its values.
    pub parameters: usize,
}

/// Every layer that holds an adapter, in the model's order.
pub fn layer_status<M: Adaptable>(model: &M) -> Vec<LayerStatus> {
    let mut layers = Vec::new();
    model.visit_linears(&mut |linear| {
        let adapters: Vec<AdapterStatus> = linear
            .adapter_names()
            .filter_map(|name| {
                let adapter = linear.adapter(name)?;
                let ids = fields::ids(adapter);
                let tensors = adapter.tensors().into_iter();
                Some(AdapterStatus {
                    name: name.to_owned(),
                    weight: linear
                        .active_adapters()
                        .find(|(active, _, _)| *active == name)
                        .map(|(_, _, weight)| weight),
                    tensors: tensors
                        .filter(|tensor| ids.contains_key(&*tensor.field))
                        .map(|tensor| tensor.file.into_owned())
                        .collect(),
                    parameters: ids
                        .values()
                        .map(|(_, shape)| shape.iter().product::<usize>())
                        .sum(),
                })
            })
            .collect();
        if !adapters.is_empty() {
            layers.push(LayerStatus {
                path: linear.site().path.clone(),
                adapters,
            });
        }
    });
    layers
}

/// Names of all adapters of a model, sorted.
pub fn adapter_names<M: Adaptable>(model: &M) -> Vec<String> {
    let mut names = std::collections::BTreeSet::new();
    model.visit_linears(&mut |linear| names.extend(linear.adapter_names().map(str::to_owned)));
    names.into_iter().collect()
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
/// Several active adapters add up: `y = base(x) + sum_i weight_i delta_i(x)`.
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

/// Checks that every name is an adapter of some layer.
///
/// # Errors
/// [`PeftError::UnknownAdapter`] with the first that is not.
pub fn require_adapters<M: Adaptable>(model: &M, names: &[&str]) -> Result<(), PeftError> {
    let known = adapter_names(model);
    match names
        .iter()
        .find(|name| !known.iter().any(|known| known == *name))
    {
        None => Ok(()),
        Some(name) => Err(PeftError::UnknownAdapter {
            name: (*name).to_owned(),
            known: known.join(", "),
        }),
    }
}
