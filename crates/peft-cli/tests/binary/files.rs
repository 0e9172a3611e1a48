//! Files before and after a command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every file and folder below some paths, with what the files hold; `None` for folders. What a killed process left, its
/// claim and temporary files, does not count: whoever looks next removes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Files {
    /// What is below these paths now.
    pub(crate) fn below<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut files = BTreeMap::new();
        paths.into_iter().for_each(|path| read(path, &mut files));
        Self(files)
    }

    /// Fails unless everything is as it was.
    pub(crate) fn assert_same<'a>(&self, paths: impl IntoIterator<Item = &'a Path>, what: &str) {
        let now = Self::below(paths);
        let names = self.0.keys().chain(now.0.keys());
        let changed: Vec<_> = names
            .filter(|name| self.0.get(*name) != now.0.get(*name))
            .collect();
        assert!(changed.is_empty(), "{what}\nchanged {changed:?}");
    }
}

fn read(path: &Path, files: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    if path.is_file() {
        files.insert(path.to_owned(), Some(std::fs::read(path).unwrap()));
    } else if path.is_dir() {
        files.insert(path.to_owned(), None);
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            if !entry.file_name().to_string_lossy().starts_with(".peft") {
                read(&entry.path(), files);
            }
        }
    }
}

/// Paths among the arguments of a command.
pub(crate) fn paths<'a>(args: &[&'a str]) -> Vec<&'a Path> {
    let args = args
        .iter()
        .filter(|arg| !arg.is_empty() && !arg.starts_with('-'));
    args.map(|arg| Path::new(*arg)).collect()
}
