//! The names of a configuration's labels.

use super::ModelConfig;
use crate::error::ModelError;

/// More labels than any classifier has; keeps a hostile `num_labels` from filling the memory.
const MAX_LABELS: usize = 1_000_000;

impl ModelConfig {
    /// Names by id from `id2label`; else from `label2id`; else `num_labels` unnamed ones; else two.
    pub(super) fn read_labels(&self) -> Result<Vec<String>, ModelError> {
        if let Some(value) = self.present("id2label") {
            let pairs = value.as_object().map(|map| {
                map.iter()
                    .map(|(id, name)| Some((id.parse().ok()?, name.as_str()?.to_owned())))
                    .collect()
            });
            return numbered(pairs.flatten())
                .ok_or_else(|| self.field_error("id2label", "a map from 0, 1, 2, ... to names"));
        }
        if let Some(value) = self.present("label2id") {
            let pairs = value.as_object().map(|map| {
                map.iter()
                    .map(|(name, id)| Some((usize::try_from(id.as_u64()?).ok()?, name.clone())))
                    .collect()
            });
            return numbered(pairs.flatten())
                .ok_or_else(|| self.field_error("label2id", "a map from names to 0, 1, 2, ..."));
        }
        let count = self.usize_or("num_labels", 2)?;
        if !(1..=MAX_LABELS).contains(&count) {
            return Err(self.field_error("num_labels", "a number of labels between 1 and 1000000"));
        }
        Ok(unnamed(count))
    }
}

/// Names sorted by id, if the ids are exactly `0..n` with `n > 0`.
fn numbered(pairs: Option<Vec<(usize, String)>>) -> Option<Vec<String>> {
    let mut pairs = pairs?;
    pairs.sort();
    let complete = pairs
        .iter()
        .enumerate()
        .all(|(index, (id, _))| *id == index);
    (complete && !pairs.is_empty()).then(|| pairs.into_iter().map(|(_, name)| name).collect())
}

pub(super) fn unnamed(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("LABEL_{id}")).collect()
}
