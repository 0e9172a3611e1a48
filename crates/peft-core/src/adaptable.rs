//! A model that adapters can be attached to, and the room that it makes for them.

use burn::module::Module;
use peft_format::Site;

use crate::linear::AdaptedLinear;

/// A model whose linear layers can carry adapters.
pub trait Adaptable: Module {
    /// Calls `visit` with every linear layer, always in the same order.
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear));

    /// Calls `visit` with every linear layer, in the order of [`Self::visit_linears`].
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear));

    /// Every site of the model.
    fn sites(&self) -> Vec<Site> {
        let mut sites = Vec::new();
        self.visit_linears(&mut |linear| sites.push(linear.site().clone()));
        sites
    }

    /// Paths that `all-linear` leaves out: output heads, as in PEFT.
    fn output_heads(&self) -> Vec<String> {
        Vec::new()
    }

    /// The output layer that is the word table itself, where there is one. It is among the [`sites`](Self::sites), and among the layers that
    /// are visited only after [`untie`](Self::untie).
    fn tied(&self) -> Option<TiedOutput> {
        None
    }

    /// Gives a tied output layer a weight of its own, equal to the table; does nothing where none is tied.
    fn untie(&mut self) {}

    /// Paths of the layers with a row for each token: the word table, and the output layer of a language model, tied or not.
    fn vocabulary_layers(&self) -> Vec<String> {
        Vec::new()
    }

    /// Gives those layers so many tokens: surplus rows are dropped, new ones are the mean of the old.
    fn resize_vocabulary(&mut self, _tokens: usize) {}
}

/// Two layers that are one parameter (`tie_word_embeddings`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TiedOutput {
    /// Path of the word table, which holds the parameter.
    pub table: String,
    /// Path of the output layer.
    pub output: String,
}

impl TiedOutput {
    /// Names of the weights: the table's, then the output layer's.
    #[must_use]
    pub fn weights(&self) -> [String; 2] {
        [&self.table, &self.output].map(|path| format!("{path}.weight"))
    }
}
