//! Manifests: versions live in one place, and every member takes the workspace's lints.

use toml::{Table, Value};

use super::Finding;

/// Sections that list dependencies.
const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Finds dependencies that state their own version or path, and members without the lints. Packages outside the
/// workspace are left alone.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            return vec![Finding::new(
                path,
                1,
                format!("not valid TOML: {}", error.message()),
            )];
        }
    };
    let Some(package) = manifest.get("package") else {
        return Vec::new();
    };
    // A package that is a workspace of its own, such as the fuzz targets, cannot take anything from this one.
    if manifest.contains_key("workspace") {
        return Vec::new();
    }
    let name = package
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut findings = Vec::new();
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if lints.and_then(Value::as_bool) != Some(true) {
        findings.push(Finding::new(path, 1, "add `[lints] workspace = true`"));
    }
    for section in SECTIONS {
        let Some(dependencies) = manifest.get(section).and_then(Value::as_table) else {
            continue;
        };
        for (dependency, value) in dependencies {
            let shared = value.get("workspace").and_then(Value::as_bool) == Some(true);
            let itself =
                dependency == name && value.get("path").and_then(Value::as_str) == Some(".");
            if !shared && !itself {
                let message = format!(
                    "`{dependency}` must be `workspace = true`: versions live in one place"
                );
                findings.push(Finding::new(path, line_of(text, dependency), message));
            }
        }
    }
    findings
}

/// The 1-based line where a dependency is stated.
fn line_of(text: &str, dependency: &str) -> usize {
    let is_statement = |line: &str| {
        let rest = line.trim_start_matches('[').strip_prefix(dependency);
        rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
            || line
                .trim_end_matches(']')
                .ends_with(&format!("dependencies.{dependency}"))
    };
    text.lines()
        .position(is_statement)
        .map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n";

    #[test]
    fn a_member_without_the_lints_is_found() {
        let findings = check("a/Cargo.toml", "[package]\nname = \"a\"\n");
        assert_eq!(
            findings,
            [Finding::new(
                "a/Cargo.toml",
                1,
                "add `[lints] workspace = true`"
            )]
        );
    }

    #[test]
    fn a_version_or_a_path_of_its_own_is_found() {
        for line in [
            "serde = \"1\"",
            "peft-core = { path = \"../core\" }",
            "b.version = \"1\"",
        ] {
            let findings = check("a/Cargo.toml", &format!("{HEAD}[dependencies]\n{line}\n"));
            assert_eq!(findings.len(), 1, "{line}");
            assert_eq!(findings[0].line, 6, "{line}");
        }
        let findings = check(
            "a/Cargo.toml",
            &format!("{HEAD}[dev-dependencies.c]\nversion = \"1\"\n"),
        );
        assert_eq!((findings.len(), findings[0].line), (1, 5));
    }

    #[test]
    fn shared_dependencies_and_a_crate_testing_itself_pass() {
        let text = "[dependencies]\nserde.workspace = true\nb = { workspace = true, features = [\"x\"] }\n\
            [dev-dependencies]\na = { path = \".\", features = [\"testing\"] }\n";
        assert!(check("a/Cargo.toml", &format!("{HEAD}{text}")).is_empty());
    }

    #[test]
    fn the_root_manifest_is_no_member() {
        assert!(check("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\n").is_empty());
    }

    #[test]
    fn broken_toml_is_found() {
        assert_eq!(check("a/Cargo.toml", "[package\n").len(), 1);
    }
}
