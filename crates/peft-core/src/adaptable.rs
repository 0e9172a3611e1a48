//! A model that adapters can be attached to, and the room that it makes for them.

mod containers;
mod leaves;

use burn::module::Module;
use peft_format::Site;

use crate::linear::AdaptedLinear;

/// A model whose linear layers can carry adapters.
///
/// `#[derive(Module, Adaptable)]` gives it to any struct or enum of [`AdaptedLinear`]s, Burn's layers, types that have it themselves, and
/// `Vec`, `Option`, arrays and tuples of these. Burn's modules with linear layers inside (`Linear`, `MultiHeadAttention`) do not have it, so
/// that none is left out by oversight; [`crate::hosted`] adapts those.
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, conv::Conv2d};
/// use peft_core::{Adaptable, AdaptedLinear};
///
/// #[derive(Module, Adaptable, Debug)]
/// struct Net {
///     convolution: Conv2d, // a layer of Burn's without linear layers inside
///     blocks: Vec<Block>,  // a type of yours that derives `Adaptable` too
///     #[adaptable(head)]
///     head: AdaptedLinear, // left out by the target `all-linear`, as in PEFT
///     #[adaptable(skip)]
///     gate: Linear, // not to be adapted
/// }
///
/// #[derive(Module, Adaptable, Debug)]
/// struct Block {
///     up: AdaptedLinear,
///     down: AdaptedLinear,
/// }
/// ```
///
/// A layer that adapters could not reach does not compile:
///
/// ```compile_fail
/// # use burn::{module::Module, nn::Linear};
/// # use peft_core::{Adaptable, AdaptedLinear};
/// #[derive(Module, Adaptable, Debug)]
/// struct Net {
///     first: AdaptedLinear,
///     second: Linear, // an `AdaptedLinear`, or `#[adaptable(skip)]`
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` may hold linear layers that adapters cannot reach",
    note = "a type of your own: derive `Adaptable` for it",
    note = "a `Linear`: make it an `AdaptedLinear` (`AdaptedLinear::from(linear)`); an `Embedding` can be an `AdaptedEmbedding`",
    note = "anything else: mark the field `#[adaptable(skip)]` if nothing in it is to be adapted, or adapt the whole model with `peft_core::hosted`"
)]
pub trait Adaptable: Module {
    /// Calls `visit` with every linear layer, always in the same order.
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear));

    /// Calls `visit` with every linear layer, in the order of [`Self::visit_linears`].
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear));

    /// Whether the layers run by their effective weights alone ([`crate::Hosted`]), so that a method must have one.
    fn runs_by_weights(&self) -> bool {
        false
    }

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
