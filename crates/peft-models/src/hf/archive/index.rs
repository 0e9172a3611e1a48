//! `model.safetensors.index.json`: which file of a folder holds which tensor.

use std::path::{Component, Path};

use serde_json::Value;

use crate::error::ModelError;

/// Tensor name and shard name pairs of an index.
pub(super) fn weight_map<'a>(
    index: &Path,
    json: &'a Value,
) -> Result<Vec<(&'a str, &'a str)>, ModelError> {
    let map = json.get("weight_map").and_then(Value::as_object);
    map.and_then(|map| {
        map.iter()
            .map(|(name, shard)| Some((name.as_str(), shard.as_str()?)))
            .collect()
    })
    .ok_or_else(|| ModelError::Field {
        path: index.to_path_buf(),
        field: "weight_map".into(),
        expected: "a map from tensor names to file names",
        found: "something else".into(),
    })
}

pub(super) fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let single = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(part)), None) if part == name
    );
    single && !name.contains(['\\', ':', '/'])
}
