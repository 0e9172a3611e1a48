//! Adapters that files hold in another form than memory does: swapped for reading, converted for writing.
//!
//! [`Adapter::stored`] gives the form of the file and [`Adapter::restored`] takes its values back; [`Method::stored`] says how the
//! configuration describes that form.
//!
//! [`Adapter::stored`]: crate::Adapter::stored
//! [`Adapter::restored`]: crate::Adapter::restored

use std::collections::BTreeMap;

use super::{Place, adapter_places};
use crate::adaptable::Adaptable;
use crate::adapter::AnyAdapter;
use crate::error::PeftError;
use crate::file::{self, AdapterFolder, TensorKey};
use crate::names::ParamNames;
use crate::spec::AdapterSpec;
use crate::values::file_shape;

/// Fills the adapter called `name` from a folder in its stored form, or in its own where the folder has that.
pub(crate) fn fill<M: Adaptable>(
    mut model: M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
    from: &AdapterFolder,
) -> Result<M, PeftError> {
    let own = adapter_places(&model, name);
    let live = swap_in(&mut model, name);
    if live.is_empty() || !fits(&own, from)? {
        let mut model = super::fill(model, names, name, spec, from)?;
        swap_back(&mut model, name, live);
        return Ok(model);
    }
    swap_back(&mut model, name, live);
    super::fill(model, names, name, spec, from)
}

/// Whether a folder holds every one of these tensors in its shape.
fn fits(places: &BTreeMap<TensorKey, Place>, from: &AdapterFolder) -> Result<bool, PeftError> {
    let suffixes: Vec<&str> = places.keys().map(|key| key.tensor.as_str()).collect();
    let index = file::index_keys(from.tensors.keys().map(String::as_str), &suffixes)?;
    Ok(places.iter().all(|(key, (_, shape, layout))| {
        let raw = index.get(key);
        raw.is_some_and(|raw| from.tensors[raw].shape == file_shape(shape, *layout))
    }))
}

/// Puts the stored form in place of every adapter called `name` that has one; returns the adapters that were there, in the
/// model's order. An empty list means that nothing was swapped.
fn swap_in<M: Adaptable>(model: &mut M, name: &str) -> Vec<AnyAdapter> {
    let mut live = Vec::new();
    model.visit_linears_mut(&mut |linear| {
        if let Some(stored) = linear.adapter(name).and_then(AnyAdapter::stored) {
            live.extend(linear.replace(name, stored));
        }
    });
    live
}

/// Takes [`swap_in`] back: the live adapters with the values that their stored forms have now.
fn swap_back<M: Adaptable>(model: &mut M, name: &str, live: Vec<AnyAdapter>) {
    let mut live = live.into_iter();
    model.visit_linears_mut(&mut |linear| {
        if let Some(stored) = linear.adapter(name).cloned()
            && let Some(adapter) = live.next()
        {
            linear.replace(name, adapter.restored(&stored));
        }
    });
}
