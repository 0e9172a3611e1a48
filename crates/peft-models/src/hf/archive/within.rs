//! A language model inside a model of pictures and texts: files call tensors otherwise than modules are called in memory, which is what
//! adapters go by (transformers since 4.52).

use std::collections::BTreeMap;

/// Beginnings of names, in files and in memory.
const PARTS: [(&str, &str); 4] = [
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
];

/// Whether the names are those of such files, and the tensors by their names in memory.
pub(super) fn named<T>(entries: BTreeMap<String, T>) -> (bool, BTreeMap<String, T>) {
    if !entries.keys().any(|name| name.starts_with(PARTS[0].0)) {
        return (false, entries);
    }
    let in_memory = |(name, entry): (String, T)| (renamed(&name, PARTS.into_iter()), entry);
    (true, entries.into_iter().map(in_memory).collect())
}

/// The name in files of a tensor in memory.
pub(super) fn in_file(name: &str) -> String {
    renamed(name, PARTS.iter().map(|(file, memory)| (*memory, *file)))
}

fn renamed(name: &str, mut parts: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    let found = parts.find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)));
    found.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_to_memory_and_back() {
        let pairs = [
            ("language_model.lm_head.weight", "lm_head.weight"),
            (
                "language_model.model.norm.weight",
                "model.language_model.norm.weight",
            ),
            ("multi_modal_projector.c", "model.multi_modal_projector.c"),
            ("other.d", "other.d"),
            ("vision_tower.a.b", "model.vision_tower.a.b"),
        ];
        let stored = pairs.map(|(stored, name)| (stored.to_owned(), name));
        let (within, found) = named(stored.into());
        assert!(within && found.iter().all(|(name, expected)| name == expected));
        for (stored, name) in pairs {
            assert_eq!(in_file(name), stored);
        }
        let others = BTreeMap::from([("vision_tower.b".to_owned(), 1), ("model.c".to_owned(), 2)]);
        assert_eq!(named(others.clone()), (false, others));
    }
}
