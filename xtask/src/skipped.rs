//! Tests that lacked something outside the project, and so tested nothing.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::tidy;

/// The file of the target folder in which tests note that they lack what is outside the project (`peft_core::testing::outside`): data, or a
/// device.
pub(crate) struct Skipped(PathBuf);

impl Skipped {
    /// The file, without the notes of earlier runs.
    pub(crate) fn none_yet(root: &Path) -> anyhow::Result<Self> {
        let noted = tidy::packages(root)?.target_directory;
        let noted = noted.into_std_path_buf().join("skipped-tests.txt");
        match fs::remove_file(&noted) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| noted.display().to_string())
            }
            _ => Ok(Self(noted)),
        }
    }

    /// What was skipped, for people.
    pub(crate) fn told(&self) -> anyhow::Result<String> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| self.0.display().to_string()),
        };
        let lines: BTreeSet<&str> = text.lines().collect();
        Ok(match lines.len() {
            0 => "no test was skipped".to_owned(),
            count => {
                let lines: Vec<&str> = lines.into_iter().collect();
                format!(
                    "{count} tests were SKIPPED for want of data or a device outside the project:\n  {}",
                    lines.join("\n  ")
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_is_counted_once_and_named() {
        let dir = std::env::temp_dir().join(format!("skipped-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let noted = Skipped(dir.join("noted"));
        assert_eq!(noted.told().unwrap(), "no test was skipped");
        fs::write(&noted.0, "a: x is absent\nb: x is absent\na: x is absent\n").unwrap();
        let found = noted.told().unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert!(found.starts_with("2 tests were SKIPPED"), "{found}");
        assert!(found.contains("b: x is absent"), "{found}");
    }
}
