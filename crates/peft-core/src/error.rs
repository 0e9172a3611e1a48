//! What can go wrong in this crate.

use peft_format::{LARGEST_ALPHA, SiteKind, grouped};

use crate::file::FileError;
use crate::target::TargetError;

/// An error of `peft-core`: what went wrong, where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeftError {
    /// The targets select nothing or contradict each other.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// An adapter folder could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A site cannot use the values of the site that its method names.
    #[error("site `{site}` is to share the adapter of `{owner}`, {problem}")]
    Shares {
        /// Path of the site.
        site: String,
        /// Path of the other site.
        owner: String,
        /// Why not.
        problem: String,
    },
    /// A method was given an option that it does not accept.
    #[error("method `{method}`: option `{option}`: {problem}")]
    Option {
        /// Identifier of the method.
        method: &'static str,
        /// Name of the option, or `(options)` when it is the table as a whole.
        option: String,
        /// What is wrong and what is accepted.
        problem: String,
    },
    /// A procedure was given an option that it does not accept.
    #[error("procedure `{procedure}`: option `{option}`: {problem}")]
    ProcedureOption {
        /// Identifier of the procedure.
        procedure: &'static str,
        /// Name of the option, or `(options)` when it is the table as a whole.
        option: &'static str,
        /// What is wrong and what is accepted.
        problem: String,
    },
    /// No method in the given list can run the adapter described by a folder.
    #[error(
        "no method here reads an adapter of type `{peft_type}` ({detail}); known methods: {known}"
    )]
    UnknownMethod {
        /// The folder's `peft_type`.
        peft_type: String,
        /// Which fields told it apart.
        detail: String,
        /// Identifiers of the methods that were asked.
        known: String,
    },
    /// The adapter uses a feature that would be misread if it were ignored.
    #[error("the adapter cannot be loaded as it is:\n{}", problems.join("\n"))]
    Unsupported {
        /// One line per feature: field, value, reason and the way out.
        problems: Vec<String>,
    },
    /// Tensors of an adapter do not fit the model.
    #[error("adapter `{adapter}` does not fit this model:\n{}", grouped(problems).join("\n"))]
    Mismatch {
        /// Name of the adapter.
        adapter: String,
        /// One line per tensor: name in backquotes, expected, found; the message has one for each kind.
        problems: Vec<String>,
    },
    /// A model that cannot be adapted as it is built.
    #[error("the model cannot be adapted as it is:\n{}", problems.join("\n"))]
    Model {
        /// One line for each parameter or layer, with the way out.
        problems: Vec<String>,
    },
    /// Names in `modules_to_save` that mean nothing in this model.
    #[error(
        "modules_to_save: the model has no module {}; it has: {}",
        quoted(unknown),
        known.join(", ")
    )]
    SavedModules {
        /// The names that match nothing.
        unknown: Vec<String>,
        /// What the model's modules are called.
        known: Vec<String>,
    },
    /// The adapter was trained with another number of tokens, and not every layer that has a row for each came with it.
    #[error(
        "adapter `{adapter}` was trained with {tokens} tokens, the model has {base}{}; give the model as many tokens first \
         (`peft resize --model BASE --tokens {tokens} --out RESIZED`), then use the adapter with that",
        if absent.is_empty() { String::new() } else { format!(", and the adapter does not bring {} whole", quoted(absent)) }
    )]
    Vocabulary {
        /// Name of the adapter.
        adapter: String,
        /// Tokens of the adapter's tables.
        tokens: usize,
        /// Tokens of the model.
        base: usize,
        /// Layers with a row for each token that the adapter does not have.
        absent: Vec<String>,
    },
    /// An adapter with a vocabulary of another size than that of the adapters before it.
    #[error(
        "adapter `{adapter}` brings a vocabulary of {tokens} tokens, the adapters before it have another; load them in models of their own"
    )]
    OtherVocabulary {
        /// Name of the adapter.
        adapter: String,
        /// Tokens of its tables.
        tokens: usize,
    },
    /// An adapter name is already used by the model.
    #[error(
        "the model already has an adapter named `{name}`; choose another name or remove that one first"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// An adapter name is not known to the model.
    #[error("no adapter named `{name}` in this model; it has: {known}")]
    UnknownAdapter {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A method that does not adapt this kind of layer.
    #[error(
        "method `{method}` does not adapt `{site}`, which is {}; leave it out of the targets or use a method that does",
        match kind { SiteKind::Linear => "a linear layer", SiteKind::Conv1d => "a Conv1D layer", SiteKind::Embedding => "an embedding" }
    )]
    SiteKind {
        /// Identifier of the method.
        method: &'static str,
        /// Path of the site.
        site: String,
        /// What the layer is.
        kind: SiteKind,
    },
    /// The adapter changes base parameters in place, which another adapter of the model relies on.
    #[error(
        "adapter `{name}` trains `{parameter}` of the base model itself, so it cannot share a model with other adapters; \
         load it alone, or merge it first"
    )]
    ChangesBase {
        /// Name of the adapter.
        name: String,
        /// One of the base parameters.
        parameter: String,
    },
    /// A rank that a site cannot carry.
    #[error("site `{site}`: rank {rank} must be between 1 and {limit} there")]
    Rank {
        /// Path of the site.
        site: String,
        /// The rank asked for.
        rank: usize,
        /// The largest rank that makes sense there.
        limit: usize,
    },
    /// An alpha that makes outputs overflow.
    #[error("site `{site}`: alpha {alpha:e} must be at most {LARGEST_ALPHA:e} in size")]
    Alpha {
        /// Path of the site.
        site: String,
        /// The alpha asked for.
        alpha: f64,
    },
    /// A frozen weight that a method cannot start from.
    #[error("site `{site}`: the frozen weight cannot be adapted: {problem}")]
    Base {
        /// Path of the site.
        site: String,
        /// What is wrong with the weight.
        problem: String,
    },
    /// What was seen of the data is of no use to a method.
    #[error("site `{site}`: what goes into it cannot be used: {problem}")]
    Survey {
        /// Path of the site.
        site: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A merge produced or met values that are not finite.
    #[error(
        "site `{site}`: {what} holds {count} values that are NaN or infinite; nothing was merged"
    )]
    NotFinite {
        /// Path of the site.
        site: String,
        /// Which matrix.
        what: &'static str,
        /// How many entries.
        count: usize,
    },
    /// The method's forward depends on the input, so it has no single effective weight.
    #[error("method `{method}` cannot {action}: {reason}")]
    NoEffectiveWeight {
        /// Identifier of the method.
        method: &'static str,
        /// What was attempted, for example `merge`.
        action: &'static str,
        /// Why it is impossible, and what to do instead.
        reason: &'static str,
    },
    /// The method's update has no exact low-rank form, and nobody said at which rank to cut it.
    #[error(
        "site `{site}`: the update of method `{method}` has no exact low-rank form; give the rank to cut it to (--rank)"
    )]
    NoLowRankForm {
        /// Identifier of the method.
        method: &'static str,
        /// Path of the site.
        site: String,
    },
    /// The values of a low-rank pair cannot condition its gradients.
    #[error("preconditioner `{name}`: {problem}; the step was not taken")]
    Precondition {
        /// Name of the preconditioner.
        name: &'static str,
        /// What is wrong with the values.
        problem: String,
    },
    /// A saved state does not fit.
    #[error("state `{name}`: {problem}")]
    State {
        /// Which state.
        name: String,
        /// What does not fit.
        problem: String,
    },
}

/// Names in backticks, with commas.
fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
