//! The direction of dependencies between the crates, and no Burn backend in a library.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use super::Finding;

/// Features of Burn that select a backend.
const BACKENDS: [&str; 14] = [
    "flex", "ndarray", "wgpu", "vulkan", "metal", "webgpu", "cuda", "rocm", "hip", "cpu", "tch",
    "candle", "remote", "router",
];
/// Crates of one method family each: never an edge between two of them.
pub(crate) const METHOD_CRATES: [&str; 8] = [
    "peft-chain",
    "peft-decompose",
    "peft-lowrank",
    "peft-moe",
    "peft-orthogonal",
    "peft-prune",
    "peft-recycle",
    "peft-vectors",
];
/// Libraries for programs that have no Burn.
const WITHOUT_BURN: [&str; 4] = ["peft-bf16", "peft-format", "peft-gguf", "peft-parquet"];
/// What each library may depend on; the command line and the tools may depend on everything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("peft-bf16", &[]),
    ("peft-format", &[]),
    ("peft-core", &["peft-derive", "peft-format", "peft-kernels"]),
    ("peft-derive", &[]),
    ("peft-chain", &["peft-core"]),
    ("peft-gguf", &["peft-format"]),
    ("peft-kernels", &["peft-bf16"]),
    ("peft-decompose", &["peft-core", "peft-kernels"]),
    ("peft-lowrank", &["peft-core", "peft-kernels"]),
    ("peft-moe", &["peft-core", "peft-format", "peft-kernels"]),
    ("peft-orthogonal", &["peft-core"]),
    ("peft-prune", &["peft-core"]),
    ("peft-recycle", &["peft-core", "peft-format"]),
    ("peft-models", &["peft-core", "peft-gguf", "peft-kernels"]),
    ("peft-parquet", &[]),
    ("peft-vectors", &["peft-core", "peft-kernels"]),
    (
        "peft-run",
        &[
            "peft-chain",
            "peft-core",
            "peft-decompose",
            "peft-kernels",
            "peft-lowrank",
            "peft-gguf",
            "peft-models",
            "peft-moe",
            "peft-orthogonal",
            "peft-prune",
            "peft-recycle",
            "peft-train",
            "peft-vectors",
        ],
    ),
    (
        "peft-train",
        &["peft-core", "peft-kernels", "peft-models", "peft-parquet"],
    ),
];
/// Members that are no libraries for others.
const APPLICATIONS: [&str; 5] = [
    "peft-benches",
    "peft-cli",
    "peft-examples",
    "peft-fuzz",
    "xtask",
];

/// What `cargo metadata` says of the workspace's members.
///
/// # Errors
/// A manifest is not valid.
pub(crate) fn packages(root: &Path) -> anyhow::Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.manifest_path(root.join("Cargo.toml")).no_deps();
    command.exec().context("`cargo metadata` failed")
}

/// Finds edges that must not exist.
pub(crate) fn check(metadata: &Metadata) -> Vec<Finding> {
    let members: BTreeSet<_> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let rules: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let place = package.manifest_path.strip_prefix(&metadata.workspace_root);
        let path = place.unwrap_or(&package.manifest_path).as_str();
        let mut find = |message: String| findings.push(Finding::new(path, 1, message));
        for other in edges(package, &members, true) {
            if METHOD_CRATES.contains(&name) && METHOD_CRATES.contains(&other) {
                find(format!(
                    "`{name}` must not know `{other}`: method crates stand alone"
                ));
            }
        }
        if APPLICATIONS.contains(&name) {
            continue;
        }
        let Some(allowed) = rules.get(name) else {
            find(format!(
                "say in tidy's architecture check what `{name}` may depend on"
            ));
            continue;
        };
        for other in edges(package, &members, false).filter(|other| !allowed.contains(other)) {
            find(format!(
                "`{name}` must not depend on `{other}`: see the direction of dependencies"
            ));
        }
        if WITHOUT_BURN.contains(&name) {
            let burn = package.dependencies.iter();
            for edge in burn.filter(|edge| edge.name.starts_with("burn")) {
                find(format!(
                    "`{name}` must not depend on `{}`: it is for programs without Burn",
                    edge.name
                ));
            }
        }
        backends(package).into_iter().for_each(|backend| {
            find(format!(
                "library `{name}` turns on {backend}: only its tests and applications may"
            ));
        });
    }
    findings
}

/// Members that a package depends on, tests included or not.
fn edges<'a>(
    package: &'a Package,
    members: &'a BTreeSet<&str>,
    with_tests: bool,
) -> impl Iterator<Item = &'a str> {
    let dependencies = package.dependencies.iter();
    dependencies
        .filter(move |edge| with_tests || edge.kind != DependencyKind::Development)
        .map(|edge| edge.name.as_str())
        .filter(move |name| members.contains(name) && *name != package.name.as_str())
}

/// Backends that a library turns on for everybody who depends on it.
fn backends(package: &Package) -> Vec<String> {
    let mut found = Vec::new();
    for edge in &package.dependencies {
        if edge.kind == DependencyKind::Development || !edge.name.starts_with("burn") {
            continue;
        }
        let backend_crate = edge
            .name
            .strip_prefix("burn-")
            .filter(|rest| BACKENDS.contains(rest));
        if backend_crate.is_some() && !edge.optional {
            found.push(format!("the backend crate `{}`", edge.name));
        }
        let features = edge
            .features
            .iter()
            .filter(|feature| BACKENDS.contains(&feature.as_str()));
        found.extend(
            features.map(|feature| format!("the backend feature `{}/{feature}`", edge.name)),
        );
    }
    let defaults = reachable(package, "default");
    let forwarded = defaults.iter().filter(|feature| {
        let parts = feature.split_once('/');
        parts.is_some_and(|(krate, feature)| {
            krate.starts_with("burn") && BACKENDS.contains(&feature)
        })
    });
    found.extend(forwarded.map(|feature| format!("the backend feature `{feature}` by default")));
    found
}

/// Every feature that one feature of a package turns on.
fn reachable(package: &Package, feature: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![feature.to_owned()];
    while let Some(feature) = open.pop() {
        if seen.insert(feature.clone()) {
            open.extend(
                package
                    .features
                    .get(&feature)
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Findings in a workspace of the given crates, each `(name, rest of the manifest)`.
    fn messages(crates: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let burn = "default = []\nflex = []\ncuda = []\n";
        let burn = ("burn", format!("[features]\n{burn}"));
        let all = crates
            .iter()
            .map(|(name, rest)| (*name, (*rest).to_owned()))
            .chain([burn]);
        for (name, rest) in all {
            let place = folder.path().join(name);
            fs::create_dir_all(place.join("src")).unwrap();
            fs::write(place.join("src/lib.rs"), "").unwrap();
            let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n{rest}");
            fs::write(place.join("Cargo.toml"), manifest).unwrap();
        }
        let workspace =
            "[workspace]\nresolver = \"3\"\nmembers = [\"peft-*\"]\nexclude = [\"burn\"]\n";
        fs::write(folder.path().join("Cargo.toml"), workspace).unwrap();
        let findings = check(&packages(folder.path()).unwrap());
        findings
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn an_edge_against_the_direction_is_found() {
        let models = (
            "peft-models",
            "[dependencies]\npeft-train = { path = \"../peft-train\" }\n",
        );
        let found = messages(&[models, ("peft-train", "")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("peft-models/Cargo.toml:1: `peft-models` must not depend on"));
    }

    #[test]
    fn an_edge_between_method_crates_is_found_even_in_tests() {
        let moe = (
            "peft-moe",
            "[dev-dependencies]\npeft-prune = { path = \"../peft-prune\" }\n",
        );
        let found = messages(&[moe, ("peft-prune", "")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("method crates stand alone"));
    }

    #[test]
    fn burn_in_a_library_without_it_is_found() {
        let burn = "[dependencies]\nburn = { path = \"../burn\" }\n";
        let found = messages(&[("peft-format", burn), ("peft-core", burn)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("for programs without Burn"));
    }

    #[test]
    fn a_backend_in_a_library_is_found() {
        let direct = "[dependencies]\nburn = { path = \"../burn\", features = [\"cuda\"] }\n";
        assert!(messages(&[("peft-core", direct)])[0].contains("`burn/cuda`"));
        let default = "[dependencies]\nburn = { path = \"../burn\" }\n\
            [features]\ndefault = [\"fast\"]\nfast = [\"burn/flex\"]\n";
        assert!(messages(&[("peft-core", default)])[0].contains("`burn/flex` by default"));
    }

    #[test]
    fn a_backend_in_tests_or_applications_passes() {
        let tests = "[dev-dependencies]\nburn = { path = \"../burn\", features = [\"flex\"] }\n";
        let normal = "[dependencies]\nburn = { path = \"../burn\", features = [\"flex\"] }\n";
        assert!(messages(&[("peft-core", tests), ("peft-cli", normal)]).is_empty());
    }

    #[test]
    fn a_crate_without_a_rule_is_found() {
        assert!(messages(&[("peft-new", "")])[0].contains("what `peft-new` may depend on"));
    }
}
