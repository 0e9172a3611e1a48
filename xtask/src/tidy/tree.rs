//! The files of the workspace: what git tracks, and what it would track.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, ensure};

/// Files above this size are data, not text that somebody wrote.
const LARGEST_TEXT: u64 = 512 * 1024;

/// Paths relative to the workspace with their text; data files and binary files have none.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads the files that `git ls-files -co --exclude-standard` lists and that exist.
    ///
    /// # Errors
    /// Git is missing, `root` is no repository, or a listed file cannot be read.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-co", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .context("`git` could not be started; tidy asks it for the list of files")?;
        ensure!(
            output.status.success(),
            "`git ls-files` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let mut files = BTreeMap::new();
        for path in String::from_utf8(output.stdout)?
            .split('\0')
            .filter(|path| !path.is_empty())
        {
            let place = root.join(path);
            let Ok(metadata) = fs::metadata(&place) else {
                continue;
            };
            if !metadata.is_file() {
                continue;
            }
            let text = if metadata.len() > LARGEST_TEXT {
                None
            } else {
                let bytes = fs::read(&place).with_context(|| format!("cannot read {path}"))?;
                String::from_utf8(bytes).ok()
            };
            files.insert(path.to_owned(), text);
        }
        Ok(Self { files })
    }

    /// Every path.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Every text file as `(path, text)`.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// The text files whose path ends so.
    pub(crate) fn texts_ending_with<'a>(
        &'a self,
        ending: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts().filter(move |(path, _)| path.ends_with(ending))
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// A tree of given texts.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), Some((*text).to_owned()));
        Self {
            files: files.iter().map(own).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_file_is_listed_with_its_text() {
        let tree = Tree::read(&crate::shell::workspace_root()).unwrap();
        let text = tree.text("xtask/src/tidy/tree.rs").expect("listed");
        assert!(text.starts_with("//! The files of the workspace"));
        assert!(tree.paths().all(|path| !path.starts_with("target/")));
    }

    #[test]
    fn a_folder_outside_any_repository_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            Tree::read(folder.path())
                .unwrap_err()
                .to_string()
                .contains("git ls-files")
        );
    }
}
