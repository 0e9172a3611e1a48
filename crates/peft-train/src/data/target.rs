//! What is said about an example, and of which kind that is.

/// What the model should say about an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// The class, an index of the [`LabelSet`](super::LabelSet).
    Class(usize),
    /// The value of a regression, finite.
    Value(f64),
    /// Unknown: the example is to be predicted.
    None,
}

/// What kind of target a task needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A label.
    Class,
    /// A number.
    Value,
    /// Nothing; a target column is not looked at.
    None,
}
