//! Folders on the command line that are repositories of the Hugging Face hub instead.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use peft_models::hf::{Hub, HubId};

/// The folder that a path means: itself where it exists, or else the files of the repository of that name, fetched.
///
/// # Errors
/// When the name could be a repository and cannot be had. What cannot be one is left for its reader to refuse.
pub fn folder(path: &Path) -> Result<PathBuf> {
    let id = path.to_str().and_then(|name| name.parse::<HubId>().ok());
    let Some(id) = id.filter(|_| !path.exists()) else {
        return Ok(path.to_path_buf());
    };
    let found = Hub::from_env(true).and_then(|hub| hub.folder(&id));
    let (folder, outdated) =
        found.with_context(|| format!("there is no folder {}", path.display()))?;
    if let Some(why) = outdated {
        log::warn!(
            "{}: taking an earlier copy, for the hub does not answer: {why}",
            path.display()
        );
    }
    Ok(folder)
}

/// Replaces every path that means a repository by the folder of its files.
///
/// # Errors
/// As [`folder`].
pub fn resolve<'a>(paths: impl IntoIterator<Item = &'a mut PathBuf>) -> Result<()> {
    for path in paths {
        *path = folder(path)?;
    }
    Ok(())
}
