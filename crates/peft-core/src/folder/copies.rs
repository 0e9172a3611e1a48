//! Layers that a folder holds whole although `modules_to_save` does not name them.
//!
//! Where the output layer is tied to the word table, PEFT loads such a copy into the one tensor that both are: a copy of one is then a copy
//! of both. A folder that holds the two with different values means two layers.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::ParamId;
use peft_format::SiteKind;

use super::BASE_LAYER;
use crate::adaptable::Adaptable;
use crate::base_params::{BiasTraining, saved_modules};
use crate::error::PeftError;
use crate::file::{self, HostTensor};
use crate::names::{ParamNames, module_of, param_id};
use crate::spec::AdapterSpec;
use crate::values::named_tensors;

type Tensors = BTreeMap<String, HostTensor>;

/// Records the copied modules in the specification and makes them complete; copies that equal the base are left out.
///
/// Returns the number of tokens that the folder's tables have, where the model's have another.
///
/// # Errors
/// [`PeftError::Vocabulary`] when only some of the layers that have a row for each token are there with another number.
pub(super) fn take<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    name: &str,
    spec: &mut AdapterSpec,
    tensors: &mut Tensors,
) -> Result<Option<usize>, PeftError> {
    let whole = base_keys(tensors, names);
    let named: BTreeSet<ParamId> = saved_modules(names, &spec.modules_to_save)
        .0
        .into_iter()
        .collect();
    let is_trained_bias =
        |parameter: &str| spec.bias != BiasTraining::None && parameter.ends_with(".bias");
    let mut copies: BTreeMap<String, String> = whole
        .into_iter()
        .filter(|(parameter, _)| {
            !named.contains(&param_id(parameter)) && !is_trained_bias(parameter)
        })
        .collect();
    if let Some(tied) = model.tied() {
        let [table, output] = tied.weights();
        for (from, to) in [(&table, &output), (&output, &table)] {
            if !copies.contains_key(to)
                && !named.contains(&param_id(to))
                && let Some(copy) = copies.get(from).map(|raw| tensors[raw].clone())
            {
                let raw = key_of(to);
                tensors.insert(raw.clone(), copy);
                copies.insert(to.clone(), raw);
            }
        }
    }
    let base = base_values(model, names, &copies);
    copies.retain(|parameter, raw| {
        let is_base = base.get(parameter).is_some_and(|base| {
            let copy = &tensors[raw];
            copy.shape == base.shape && copy.data == base.data
        });
        if is_base {
            tensors.remove(raw);
        }
        !is_base
    });
    let modules: BTreeSet<&str> = copies
        .keys()
        .map(|parameter| module_of(parameter))
        .collect();
    spec.copied_modules = modules.iter().map(|module| (*module).to_owned()).collect();
    complete(model, names, &modules, &copies, tensors);
    vocabulary(model, names, name, tensors)
}

/// Parameters of the base that a folder has tensors for, with their keys there.
fn base_keys(tensors: &Tensors, names: &ParamNames) -> BTreeMap<String, String> {
    let keys = tensors.keys().filter_map(|raw| {
        let key = file::parse_key(raw, &[])?;
        let module = key.module.strip_suffix(BASE_LAYER).unwrap_or(&key.module);
        let parameter = format!("{module}.{}", key.tensor);
        names.get(param_id(&parameter))?;
        Some((parameter, raw.clone()))
    });
    keys.collect()
}

/// The base's values of these parameters; those of a tied output layer are the table's.
fn base_values<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    copies: &BTreeMap<String, String>,
) -> Tensors {
    let mut wanted: BTreeSet<ParamId> = copies.keys().map(|name| param_id(name)).collect();
    let tied = model.tied().map(|tied| {
        let [table, output] = tied.weights();
        if copies.contains_key(&output) {
            wanted.insert(param_id(&table));
        }
        (table, output)
    });
    let mut values = named_tensors(model, names, |id| wanted.contains(&id));
    if let Some((table, output)) = tied
        && let Some(table) = values.get(&table).cloned()
    {
        values.insert(output, table);
    }
    values
}

/// Adds what a copied module's copy lacks, as the base has it.
fn complete<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    modules: &BTreeSet<&str>,
    copies: &BTreeMap<String, String>,
    tensors: &mut Tensors,
) {
    let lacking: BTreeSet<ParamId> = names
        .iter()
        .filter(|(_, name, _)| modules.contains(module_of(name)) && !copies.contains_key(*name))
        .map(|(id, _, _)| id)
        .collect();
    for (parameter, tensor) in named_tensors(model, names, |id| lacking.contains(&id)) {
        let key = key_of(&parameter);
        tensors.entry(key).or_insert(tensor);
    }
}

/// How many tokens the folder's tables have, where that is not the model's number.
fn vocabulary<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    name: &str,
    tensors: &Tensors,
) -> Result<Option<usize>, PeftError> {
    let whole = base_keys(tensors, names);
    let sites = model.sites();
    let mut absent = Vec::new();
    let mut found = BTreeSet::new();
    let mut base = 0;
    for path in model.vocabulary_layers() {
        let Some(site) = sites.iter().find(|site| site.path == path) else {
            continue;
        };
        base = match site.kind {
            SiteKind::Embedding => site.d_in,
            SiteKind::Linear | SiteKind::Conv1d => site.d_out,
        };
        let raw = whole.get(&format!("{path}.weight"));
        match raw.and_then(|raw| tensors[raw].shape.first()) {
            Some(tokens) => drop(found.insert(*tokens)),
            None => absent.push(path),
        }
    }
    match found.iter().find(|tokens| **tokens != base) {
        None => Ok(None),
        Some(tokens) if absent.is_empty() && found.len() == 1 => Ok(Some(*tokens)),
        Some(tokens) => Err(PeftError::Vocabulary {
            adapter: name.to_owned(),
            tokens: *tokens,
            base,
            absent,
        }),
    }
}

/// The key of a base parameter in a folder.
fn key_of(parameter: &str) -> String {
    let (module, tensor) = parameter.rsplit_once('.').unwrap_or(("", parameter));
    file::key(module, tensor)
}
