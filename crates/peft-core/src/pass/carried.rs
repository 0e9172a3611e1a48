//! What layers leave for later layers of the same pass.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;

use crate::pass::Pass;

/// Values by name, and which of them were left since somebody last asked.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    values: BTreeMap<String, Tensor<2>>,
    left: BTreeSet<String>,
}

impl Pass<'_> {
    /// Leaves a value of shape `[rows, width]` for later layers of this pass, in place of what was left under this name before.
    ///
    /// An adapter names it by itself and by what it links, so that others do not take it. Gradients reach the layer that left it, also
    /// where blocks are computed again.
    pub fn carry(&mut self, name: &str, value: Tensor<2>) {
        self.carried.left.insert(name.to_owned());
        self.carried.values.insert(name.to_owned(), value);
    }

    /// What an earlier layer left under this name.
    #[must_use]
    pub fn carried(&self, name: &str) -> Option<Tensor<2>> {
        self.carried.values.get(name).cloned()
    }
}

impl Carried {
    /// The same names with these values, in the order of [`Self::values`]; nothing counts as left.
    pub(crate) fn with(&self, values: impl IntoIterator<Item = Tensor<2>>) -> Self {
        Self {
            values: self.values.keys().cloned().zip(values).collect(),
            left: BTreeSet::new(),
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Tensor<2>> {
        self.values.values()
    }

    /// What was left here, in the order of the names.
    pub(crate) fn left(&self) -> Vec<Tensor<2>> {
        let left = self.left.iter();
        left.filter_map(|name| self.values.get(name).cloned())
            .collect()
    }

    /// Takes over what was left in `inner`, with these values in place of its own.
    pub(crate) fn take(&mut self, inner: &Self, values: impl IntoIterator<Item = Tensor<2>>) {
        for (name, value) in inner.left.iter().zip(values) {
            self.left.insert(name.clone());
            self.values.insert(name.clone(), value);
        }
    }
}
