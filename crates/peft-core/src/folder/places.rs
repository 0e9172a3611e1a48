//! Which parameter each tensor of an adapter folder belongs to, in both directions.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::module::ParamId;

use super::{BASE_LAYER, adapter_tensors};
use crate::adaptable::Adaptable;
use crate::base_params::{saved_parameters, trained_biases};
use crate::copy::TrainedCopy;
use crate::error::PeftError;
use crate::fields;
use crate::file::{self, AdapterFolder, HostTensor, TensorKey};
use crate::names::{Layout, ParamNames, param_id};
use crate::spec::AdapterSpec;
use crate::tie::TieGroups;
use crate::values::{file_shape, from_file, named_tensors, set_values, shapes_of};

/// Where a tensor of the file goes: the parameter's id, its shape in memory and its layout.
pub(crate) type Place = (ParamId, Vec<usize>, Layout);

/// Every tensor of the folder of the adapter called `name`, under the keys that Python PEFT writes.
pub(super) fn tensors<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
) -> Result<BTreeMap<String, HostTensor>, PeftError> {
    let ties = TieGroups::of(model, name, spec.method.as_ref())?;
    let mut tensors: BTreeMap<String, HostTensor> = adapter_tensors(model, name, &ties.followers())
        .into_iter()
        .map(|(key, tensor)| (file::key(&key.module, &key.tensor), tensor))
        .collect();
    let places = base_places(model, names, name, spec);
    let ids: HashSet<ParamId> = places.values().map(|(id, _, _)| *id).collect();
    let mut values: HashMap<ParamId, HostTensor> =
        named_tensors(model, names, |id| ids.contains(&id))
            .into_iter()
            .map(|(name, tensor)| (param_id(&name), tensor))
            .collect();
    for (key, (id, _, _)) in places {
        if let Some(tensor) = values.remove(&id) {
            tensors.insert(file::key(&key.module, &key.tensor), tensor);
        }
    }
    Ok(tensors)
}

/// Puts the values of a folder, which holds the adapter called `name` in the form it has in the model, into it and into
/// the base parameters that belong to it.
pub(crate) fn fill<M: Adaptable>(
    model: M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
    folder: &AdapterFolder,
) -> Result<M, PeftError> {
    let ties = TieGroups::of(&model, name, spec.method.as_ref())?;
    let followers = ties.followers();
    let mut places = adapter_places(&model, name);
    places.retain(|_, (id, _, _)| !followers.contains(id));
    let suffixes: Vec<String> = places.keys().map(|key| key.tensor.clone()).collect();
    let suffixes: Vec<&str> = suffixes.iter().map(String::as_str).collect();
    let mut index = file::index_keys(folder.tensors.keys().map(String::as_str), &suffixes)?;
    leave_out_repeated(&mut index, &places, folder);
    for (key, place) in base_places(&model, names, name, spec) {
        take_old_spelling(&mut index, &key);
        places.insert(key, place);
    }
    let mut problems = Vec::new();
    let mut values = BTreeMap::new();
    for (key, (id, shape, layout)) in &places {
        let expected = file_shape(shape, *layout);
        match index.remove(key) {
            None => problems.push(format!("`{key}`: missing, expected {expected:?}")),
            Some(raw) if folder.tensors[&raw].shape == expected => {
                values.insert(*id, from_file(&folder.tensors[&raw], *layout));
            }
            Some(raw) => {
                let found = &folder.tensors[&raw].shape;
                problems.push(format!("`{raw}`: expected {expected:?}, found {found:?}"));
            }
        }
    }
    for raw in index.values() {
        let shape = &folder.tensors[raw].shape;
        problems.push(format!(
            "`{raw}` {shape:?}: not expected, no adapted site has it"
        ));
    }
    let mismatch = |problems| PeftError::Mismatch {
        adapter: name.to_owned(),
        problems,
    };
    if !problems.is_empty() {
        return Err(mismatch(problems));
    }
    let model = ties.broadcast(set_values(model, values));
    let problems = base_problems(&model, name);
    if problems.is_empty() {
        Ok(model)
    } else {
        Err(mismatch(problems))
    }
}

/// Leaves out what a folder repeats beside its layers of a tensor that the adapter has once, where it is the same: PEFT writes a copy for every
/// layer that refers to it.
fn leave_out_repeated(
    index: &mut BTreeMap<TensorKey, String>,
    places: &BTreeMap<TensorKey, Place>,
    folder: &AdapterFolder,
) {
    for once in places.keys().filter(|key| key.module.is_empty()) {
        let Some(tensor) = index.get(once).map(|raw| &folder.tensors[raw]) else {
            continue;
        };
        index.retain(|key, raw| {
            let repeats = key.tensor == once.tensor && key != once;
            !repeats || folder.tensors[raw] != *tensor
        });
    }
}

/// Renames a key without `base_layer`, which PEFT before 0.7 wrote for biases, to the one that later versions write.
fn take_old_spelling(index: &mut BTreeMap<TensorKey, String>, key: &TensorKey) {
    let Some(module) = key.module.strip_suffix(BASE_LAYER) else {
        return;
    };
    let old = TensorKey {
        module: module.to_owned(),
        tensor: key.tensor.clone(),
    };
    if !index.contains_key(key)
        && let Some(raw) = index.remove(&old)
    {
        index.insert(key.clone(), raw);
    }
}

/// What the adapter called `name` says of each layer it was read for.
fn base_problems<M: Adaptable>(model: &M, name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    model.visit_linears(&mut |linear| {
        if let Some(adapter) = linear.adapter(name)
            && let Err(problem) = adapter.check_base(&linear.base())
        {
            problems.push(format!("`{}`: {problem}", linear.site().path));
        }
    });
    problems
}

/// The tensors of the adapter called `name`, by their keys.
pub(crate) fn adapter_places<M: Adaptable>(model: &M, name: &str) -> BTreeMap<TensorKey, Place> {
    let mut places = BTreeMap::new();
    model.visit_linears(&mut |linear| {
        let Some(adapter) = linear.adapter(name) else {
            return;
        };
        let ids = fields::ids(adapter);
        for tensor in adapter.tensors() {
            if let Some((id, shape)) = ids.get(&*tensor.field) {
                let key = linear.key_of(&tensor);
                // Of a tensor that there is once, the first site's is the owner.
                places
                    .entry(key)
                    .or_insert((*id, shape.clone(), tensor.layout));
            }
        }
    });
    places
}

/// Parameters of the base itself that belong to the adapter: saved modules that are no layers, and trained biases.
fn base_places<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
) -> BTreeMap<TensorKey, Place> {
    let shapes = shapes_of(model);
    let mut adapted = Vec::new();
    let mut copied: HashSet<ParamId> = HashSet::new();
    let saved = saved_parameters(names, &spec.modules_to_save, &spec.copied_modules).0;
    model.visit_linears(&mut |linear| {
        let Some(adapter) = linear.adapter(name) else {
            return;
        };
        if adapter.downcast_ref::<TrainedCopy>().is_some() {
            copied.insert(linear.weight.id());
            copied.extend(linear.bias.as_ref().map(|bias| bias.id));
        } else {
            adapted.push(linear.site().path.clone());
        }
    });
    let biases = trained_biases(spec.bias, names, &adapted);
    saved
        .into_iter()
        .chain(biases)
        .filter(|id| !copied.contains(id))
        .filter_map(|id| {
            let (full, layout) = names.get(id)?;
            let (module, tensor) = full.rsplit_once('.')?;
            let under = if adapted.iter().any(|path| path == module) {
                BASE_LAYER
            } else {
                ""
            };
            let key = TensorKey {
                module: format!("{module}{under}"),
                tensor: tensor.to_owned(),
            };
            Some((key, (id, shapes.get(&id)?.clone(), layout)))
        })
        .collect()
}
