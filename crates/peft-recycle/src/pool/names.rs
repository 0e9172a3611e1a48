//! Names of members from the paths of their folders, and sites in the order of their numbers.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// A name for each folder: its own, with those of as many folders above as are needed to make all names different. `None` for a folder that
/// was given before.
pub(super) fn unique<P: AsRef<Path>>(folders: &[P]) -> Vec<Option<String>> {
    let paths: Vec<PathBuf> = folders
        .iter()
        .map(|folder| {
            let folder = folder.as_ref();
            folder
                .canonicalize()
                .or_else(|_| std::path::absolute(folder))
                .unwrap_or_else(|_| folder.to_owned())
        })
        .collect();
    let parts: Vec<Vec<String>> = paths.iter().map(|path| parts(path)).collect();
    let mut first: BTreeMap<&Path, usize> = BTreeMap::new();
    for (index, path) in paths.iter().enumerate() {
        first.entry(path).or_insert(index);
    }
    let others = |index: usize| first.values().copied().filter(move |&other| other != index);
    (0..paths.len())
        .map(|index| {
            (first[paths[index].as_path()] == index).then(|| {
                let longest = parts[index].len().max(1);
                let is_unique = |length: &usize| {
                    let own = name(&parts[index], *length);
                    others(index).all(|other| name(&parts[other], *length) != own)
                };
                let length = (1..=longest).find(is_unique).unwrap_or(longest);
                name(&parts[index], length)
            })
        })
        .collect()
}

fn parts(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}

fn name(parts: &[String], length: usize) -> String {
    match &parts[parts.len().saturating_sub(length)..] {
        [] => "adapter".to_owned(),
        parts => parts.join("-"),
    }
}

/// A key that puts `layer.2` before `layer.10`.
pub(crate) fn natural(path: &str) -> Vec<(u64, String)> {
    path.split('.')
        .map(|part| match part.parse() {
            Ok(number) => (number, String::new()),
            Err(_) => (u64::MAX, part.to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_one_name_are_told_apart_by_those_above_and_twins_are_found() {
        let names = unique(&["/x/a/best", "/x/b/best", "/x/c", "/x/a/best", "/y/b/best"]);
        let names: Vec<Option<&str>> = names.iter().map(Option::as_deref).collect();
        let expected = [
            Some("a-best"),
            Some("x-b-best"),
            Some("c"),
            None,
            Some("y-b-best"),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn layers_are_in_the_order_of_their_numbers() {
        let mut paths = ["h.10.q", "h.2.v", "h.2.q", "g"];
        paths.sort_by_cached_key(|path| natural(path));
        assert_eq!(paths, ["g", "h.2.q", "h.2.v", "h.10.q"]);
    }
}
