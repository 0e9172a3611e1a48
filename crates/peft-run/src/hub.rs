//! Paths on the command line that mean a folder: one that is there, a repository of the Hugging Face hub, a GGUF file.

use std::path::{Path, PathBuf};

use peft_models::hf::{Hub, HubId, unfold};

use crate::Result;
use crate::error::Context;

/// The folder that a path means: itself where it exists, the files of the repository of that name, fetched, or a GGUF file as a model
/// folder, of which all but the weights lies in the cache.
///
/// # Errors
/// When the name could be a repository and cannot be had, or a GGUF file cannot be read. What is neither is left for its reader to refuse.
pub fn folder(path: &Path) -> Result<PathBuf> {
    if path.is_file()
        && path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("gguf"))
    {
        return Ok(unfold(path, &cache())?);
    }
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

/// Where what can be made again is kept: `PEFT_CACHE`, `XDG_CACHE_HOME/peft`, `HOME/.cache/peft`, or else with the temporary files.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let of_user = || {
        let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || Some(PathBuf::from(variable("HOME")?).join(".cache"));
        base.or_else(home)
    };
    match variable("PEFT_CACHE") {
        Some(own) => own.into(),
        None => of_user().unwrap_or_else(std::env::temp_dir).join("peft"),
    }
}

/// Replaces every path that means a repository or a GGUF file by the folder of its files.
///
/// # Errors
/// As [`folder`].
pub fn resolve<'a>(paths: impl IntoIterator<Item = &'a mut PathBuf>) -> Result<()> {
    for path in paths {
        *path = folder(path)?;
    }
    Ok(())
}
