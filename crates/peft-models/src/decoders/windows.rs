//! How far the tokens of each block look back.

use serde_json::Value;

use crate::error::ModelError;
use crate::hf::ModelConfig;

/// Whether each block's tokens look back `sliding_window` tokens only: what `layer_types` lists, else what the family's rule says of a
/// block's index.
///
/// # Errors
/// [`ModelError::Field`] for a list that does not have one of the two known types for every block.
pub(super) fn sliding(
    config: &ModelConfig,
    layers: usize,
    rule: impl Fn(usize) -> bool,
) -> Result<Vec<bool>, ModelError> {
    let Some(types) = config.present("layer_types").and_then(Value::as_array) else {
        return Ok((0..layers).map(rule).collect());
    };
    let of = |index: usize| match types.get(index).and_then(Value::as_str) {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(ModelError::Field {
            path: config.path().to_path_buf(),
            field: "layer_types".to_owned(),
            expected: "sliding_attention or full_attention for every layer",
            found: types
                .get(index)
                .map_or("nothing".to_owned(), Value::to_string),
        }),
    };
    (0..layers).map(of).collect()
}

/// The window of every block: that of `sliding_window` in those that slide, `absent` where the file lacks the field, none where it is null.
///
/// # Errors
/// [`ModelError::Field`].
pub(super) fn windows(
    config: &ModelConfig,
    sliding: &[bool],
    absent: Option<usize>,
) -> Result<Vec<Option<usize>>, ModelError> {
    const FIELD: &str = "sliding_window";
    let window = match config.raw().get(FIELD) {
        None => absent,
        Some(value) if value.is_null() => None,
        Some(_) if sliding.contains(&true) => Some(config.positive(FIELD)?),
        Some(_) => None,
    };
    let of = |slides: &bool| window.filter(|_| *slides);
    Ok(sliding.iter().map(of).collect())
}
