//! Parameter names: every parameter has a Hugging Face name, and its Burn id is derived from that name.
//!
//! Optimizer states are keyed by the id, so it is part of the checkpoint format.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::ParamId;
use peft_format::name_number;
pub use peft_format::{Layout, Naming};

/// The Burn id of the parameter called `name`, the same in every run and on every machine.
///
/// `name` is the full Hugging Face name, for example `bert.encoder.layer.0.attention.self.query.weight`.
pub fn param_id(name: &str) -> ParamId {
    ParamId::from(name_number(name))
}

/// The module that a parameter belongs to: its name without the last part.
pub(crate) fn module_of(parameter: &str) -> &str {
    parameter
        .rsplit_once('.')
        .map_or(parameter, |(module, _)| module)
}

/// The Hugging Face name and layout of every parameter of a model, by Burn id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamNames {
    entries: BTreeMap<u64, (String, Layout)>,
    others: BTreeMap<String, String>,
    body: Option<String>,
}

impl ParamNames {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a name and returns the id its parameter must have. Recording a name again replaces its layout.
    ///
    /// # Panics
    ///
    /// If a different name with the same 64-bit hash is already recorded. With a million parameters the chance
    /// of that is 3e-8; the remedy is to rename one of the two modules.
    pub fn insert(&mut self, name: &str, layout: Layout) -> ParamId {
        let id = param_id(name);
        let previous = self.entries.insert(id.val(), (name.to_owned(), layout));
        if let Some((other, _)) = previous {
            assert_eq!(
                other, name,
                "two parameter names have the same 64-bit id: rename one of the modules"
            );
        }
        id
    }

    /// Records that folders of adapters may call the layer at `path` by another path.
    pub fn also_called(&mut self, path: &str, other: &str) {
        self.others.insert(path.to_owned(), other.to_owned());
    }

    /// Records what the model's body is called, for example `bert` or `model`: adapters of the body alone leave it out.
    pub fn set_body(&mut self, body: &str) {
        self.body = Some(body.to_owned());
    }

    /// Paths of modules with what a naming calls each, where that is another path.
    pub(crate) fn modules_in(&self, naming: Naming) -> BTreeMap<String, String> {
        let modules: BTreeSet<&str> = self
            .entries
            .values()
            .filter_map(|(name, _)| name.rsplit_once('.').map(|(module, _)| module))
            .chain(self.others.keys().map(String::as_str))
            .collect();
        let body = self.body.as_ref().map(|body| format!("{body}."));
        let foreign = |own: &str| {
            let other = self.others.get(own).filter(|_| naming.other);
            let path = other.map_or(own, String::as_str);
            let bare = body.as_ref().filter(|_| naming.bare);
            let bare = bare.and_then(|body| path.strip_prefix(body.as_str()));
            bare.unwrap_or(path).to_owned()
        };
        let pairs = modules
            .into_iter()
            .map(|own| (own.to_owned(), foreign(own)));
        pairs.filter(|(own, foreign)| own != foreign).collect()
    }

    /// The name and layout of a parameter.
    pub fn get(&self, id: ParamId) -> Option<(&str, Layout)> {
        self.entries
            .get(&id.val())
            .map(|(name, layout)| (name.as_str(), *layout))
    }

    /// All entries, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &str, Layout)> {
        self.entries
            .iter()
            .map(|(id, (name, layout))| (ParamId::from(*id), name.as_str(), *layout))
    }

    /// Number of recorded parameters.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_ids() {
        let mut names = ParamNames::new();
        let weight = names.insert("bert.pooler.dense.weight", Layout::Transposed);
        let bias = names.insert("bert.pooler.dense.bias", Layout::AsIs);
        assert_ne!(weight, bias);
        assert_eq!(
            names.get(weight),
            Some(("bert.pooler.dense.weight", Layout::Transposed))
        );
        assert_eq!(
            names.get(bias),
            Some(("bert.pooler.dense.bias", Layout::AsIs))
        );
        assert_eq!(names.get(param_id("other")), None);
        assert_eq!(names.iter().count(), 2);
    }

    #[test]
    fn inserting_a_name_twice_keeps_one_entry() {
        let mut names = ParamNames::new();
        assert!(names.is_empty());
        let first = names.insert("x.weight", Layout::AsIs);
        assert_eq!(names.insert("x.weight", Layout::Transposed), first);
        assert_eq!(names.len(), 1);
        assert_eq!(names.get(first), Some(("x.weight", Layout::Transposed)));
    }

    #[test]
    fn a_large_model_has_no_two_equal_ids() {
        let roles = [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ];
        let mut names = ParamNames::new();
        for layer in 0..128 {
            for expert in 0..64 {
                for role in roles {
                    names.insert(
                        &format!("model.layers.{layer}.experts.{expert}.{role}.weight"),
                        Layout::AsIs,
                    );
                }
            }
        }
        assert_eq!(names.len(), 128 * 64 * roles.len());
    }
}
