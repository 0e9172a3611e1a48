//! Every library has a README, which is its documentation on docs.rs too, and all end with the same list of the crates.

use super::{Finding, tree::Tree};

/// The README whose list the others repeat.
const MODEL: &str = "crates/peft-core/README.md";
/// The heading of the list.
const HEADING: &str = "## The crates";
/// The line of a library that makes its README its documentation.
const INCLUDED: &str = "#![doc = include_str!(\"../README.md\")]";

/// Finds libraries without a README, READMEs that are not in the documentation or have another list, and crates that the list lacks.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let list = tree.text(MODEL).and_then(list_of).unwrap_or_default();
    let mut findings = Vec::new();
    let mut find = |path: &str, message: String| findings.push(Finding::new(path, 1, message));
    for manifest in tree.paths() {
        let name = manifest.strip_prefix("crates/");
        let Some(name) = name.and_then(|rest| rest.strip_suffix("/Cargo.toml")) else {
            continue;
        };
        if !list.contains(&format!("| `{name}` |")) {
            find(MODEL, format!("the list of the crates lacks `{name}`"));
        }
        let library = format!("crates/{name}/src/lib.rs");
        let Some(source) = tree.text(&library) else {
            continue;
        };
        let readme = format!("crates/{name}/README.md");
        match tree.text(&readme).map(list_of) {
            None => find(manifest, format!("the library needs {readme}")),
            Some(found) if found != Some(list) => find(
                &readme,
                format!("must end with `{HEADING}`, the same as in {MODEL}"),
            ),
            Some(_) => {}
        }
        if !source.lines().any(|line| line == INCLUDED) {
            find(&library, format!("needs the line {INCLUDED}"));
        }
    }
    findings
}

fn list_of(readme: &str) -> Option<&str> {
    Some(&readme[readme.find(HEADING)?..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# peft-core\n\n## The crates\n\n| `peft-core` | a |\n| `peft-cli` | b |\n";
    const LIBRARY: &str = "//! Sites.\n#![doc = include_str!(\"../README.md\")]\n";

    fn found(readme: &str, list: &str, library: &str) -> Vec<Finding> {
        check(&Tree::of(&[
            (MODEL, list),
            ("crates/peft-core/Cargo.toml", ""),
            ("crates/peft-core/src/lib.rs", LIBRARY),
            ("crates/peft-moe/Cargo.toml", ""),
            ("crates/peft-moe/src/lib.rs", library),
            ("crates/peft-moe/README.md", readme),
            ("crates/peft-cli/Cargo.toml", ""),
            ("crates/peft-cli/src/main.rs", "//! Begins.\n"),
        ]))
    }

    #[test]
    fn the_same_list_in_every_library_passes() {
        let list = format!("{LIST}| `peft-moe` | c |\n");
        let readme = list.replace("# peft-core", "# peft-moe");
        assert_eq!(found(&readme, &list, LIBRARY), []);
    }

    #[test]
    fn each_broken_part_is_found() {
        let list = format!("{LIST}| `peft-moe` | c |\n");
        assert_eq!(found(LIST, &list, LIBRARY).len(), 1, "another list");
        assert_eq!(found("# peft-moe\n", &list, LIBRARY).len(), 1, "no list");
        assert_eq!(found(LIST, LIST, LIBRARY).len(), 1, "a crate is missing");
        assert_eq!(found(&list, &list, "//! Moe.\n").len(), 1, "not included");
    }

    #[test]
    fn a_library_without_a_readme_is_found() {
        let findings = check(&Tree::of(&[
            (MODEL, LIST),
            ("crates/peft-core/Cargo.toml", ""),
            ("crates/peft-cli/Cargo.toml", ""),
            ("crates/peft-cli/src/lib.rs", LIBRARY),
        ]));
        assert_eq!(findings.len(), 1);
    }
}
