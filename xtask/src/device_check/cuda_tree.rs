//! A copy of the workspace in which Burn's CUDA backend builds without LLVM, see `xtask/assets/cubecl-llvm`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::shell::Step;

/// The crate that LLVM's place is taken by.
const STAND_IN: &str = "xtask/assets/cubecl-llvm";
/// Where it stands as a crate.
const WRITTEN: &str = "target/device-check/cubecl-llvm";
/// The manifest that chooses the compiler of kernels.
const PROGRAM: &str = "crates/peft-cli/Cargo.toml";

/// Writes what git knows of the workspace, and what it does not ignore, to `target/device-check/tree`; a file that is the same already stays
/// as it is, so that the next build begins where the last ended.
///
/// # Errors
/// A file cannot be read or written; git is missing.
pub(super) fn write(root: &Path) -> anyhow::Result<PathBuf> {
    let tree = root.join("target/device-check/tree");
    let listed = Step::new("git ls-files -co --exclude-standard").output(root)?;
    let files: Vec<&str> = listed.lines().collect();
    remove_others(&tree, &tree, &files)?;
    for file in files {
        let (from, to) = (root.join(file), tree.join(file));
        if !from.is_file() {
            continue;
        }
        let mut content = fs::read(&from).with_context(|| from.display().to_string())?;
        match file {
            "Cargo.toml" => content.extend(patch(root).bytes()),
            PROGRAM => content = with_compiler(root, &content)?,
            _ => {}
        }
        renew(&to, &content)?;
    }
    for (asset, file) in [("manifest.toml", "Cargo.toml"), ("lib.rs", "src/lib.rs")] {
        let from = root.join(STAND_IN).join(asset);
        let content = fs::read(&from).with_context(|| from.display().to_string())?;
        renew(&root.join(WRITTEN).join(file), &content)?;
    }
    Ok(tree)
}

/// Writes a file, unless it is the same already.
fn renew(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|before| before == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap_or(path))
        .and_then(|()| fs::write(path, content))
        .with_context(|| path.display().to_string())
}

/// Removes what an earlier copy had and the workspace does not; what cargo keeps beside it stays.
fn remove_others(tree: &Path, folder: &Path, files: &[&str]) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, files)?;
            continue;
        }
        let known = path
            .strip_prefix(tree)
            .is_ok_and(|name| files.iter().any(|file| Path::new(file) == name));
        if !known {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// What the workspace's manifest gets.
fn patch(root: &Path) -> String {
    let stand_in = root.join(WRITTEN);
    format!(
        "\n[patch.crates-io]\ncubecl-llvm = {{ path = {:?} }}\n",
        stand_in.display().to_string()
    )
}

/// The program's manifest with NVRTC as the compiler.
fn with_compiler(root: &Path, manifest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let version = version_of(root, "cubecl")?;
    let line = format!(
        "\n[dependencies]\ncubecl = {{ version = \"={version}\", default-features = false, features = [\"cuda-cpp\"] }}\n"
    );
    let text = std::str::from_utf8(manifest).context(PROGRAM)?;
    if text.matches("\n[dependencies]\n").count() != 1 {
        bail!("{PROGRAM}: expected one list of dependencies");
    }
    Ok(text.replacen("\n[dependencies]\n", &line, 1).into_bytes())
}

/// The version of a crate in the lock file.
fn version_of(root: &Path, name: &str) -> anyhow::Result<String> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?;
    let lock: toml::Table = lock.parse().context("Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let of = |package: &toml::Value, field: &str| {
        package
            .get(field)
            .and_then(toml::Value::as_str)
            .map(str::to_owned)
    };
    let package = packages.into_iter().flatten();
    let mut package = package.filter(|package| of(package, "name").as_deref() == Some(name));
    let version = package.next().and_then(|package| of(package, "version"));
    version.with_context(|| format!("Cargo.lock: no package {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::workspace_root;

    #[test]
    fn the_copy_chooses_a_compiler_that_needs_no_llvm() {
        let root = workspace_root();
        let manifest = fs::read(root.join(PROGRAM)).unwrap();
        let changed = String::from_utf8(with_compiler(&root, &manifest).unwrap()).unwrap();
        let parsed: toml::Table = changed.parse().unwrap();
        let cubecl = &parsed["dependencies"]["cubecl"];
        assert_eq!(cubecl["features"][0].as_str(), Some("cuda-cpp"));
        let stand_in = fs::read_to_string(root.join(STAND_IN).join("manifest.toml")).unwrap();
        let stand_in: toml::Table = stand_in.parse().unwrap();
        let version = cubecl["version"].as_str().unwrap().trim_start_matches('=');
        assert_eq!(stand_in["package"]["version"].as_str(), Some(version));
        let patched: toml::Table = patch(&root).parse().unwrap();
        assert!(patched["patch"]["crates-io"]["cubecl-llvm"]["path"].is_str());
        let error = with_compiler(&root, b"[package]\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains(PROGRAM), "{error}");
    }

    #[test]
    fn what_is_no_longer_there_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path();
        fs::create_dir_all(tree.join("a")).unwrap();
        for file in ["a/kept", "a/gone", "gone"] {
            fs::write(tree.join(file), "").unwrap();
        }
        remove_others(tree, tree, &["a/kept"]).unwrap();
        assert!(tree.join("a/kept").exists());
        assert!(!tree.join("a/gone").exists() && !tree.join("gone").exists());
    }
}
