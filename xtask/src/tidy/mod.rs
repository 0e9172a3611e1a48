//! `cargo xtask tidy`: the rules of this codebase that neither the compiler nor clippy checks.
//!
//! Each check is a function over text or parsed sources that returns findings, so that its tests show it failing.

mod architecture;
mod attributes;
mod cycles;
mod disk;
mod docs;
mod headers;
mod machine_paths;
mod manifests;
mod marks;
mod methods;
mod readmes;
mod reads;
mod rust;
mod seams;
mod sizes;
mod tree;

use std::{fmt, path::Path};

use anyhow::ensure;

pub(crate) use architecture::{METHOD_CRATES, packages};
pub(crate) use methods::REGISTRY;
use rust::RustFile;
use tree::Tree;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    /// A finding at a 1-based line of a file named relative to the workspace.
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// All findings in the workspace, sorted by place.
fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    let mut sources = Vec::new();
    for (path, text) in tree.texts_ending_with(".rs") {
        match RustFile::parse(path, text) {
            Ok(source) => sources.push(source),
            Err(finding) => findings.push(finding),
        }
    }
    for source in &sources {
        findings.extend(headers::check(source));
        findings.extend(marks::check(source));
        findings.extend(attributes::check(source));
        findings.extend(disk::check(source));
        findings.extend(reads::check(source));
    }
    findings.extend(sizes::check(&sources, sizes::EXCEPTIONS));
    findings.extend(cycles::check(&sources));
    for (path, text) in tree.texts() {
        findings.extend(machine_paths::check(path, text));
        findings.extend(marks::conflicts(path, text));
    }
    for (path, text) in tree.texts_ending_with("Cargo.toml") {
        findings.extend(manifests::check(path, text));
    }
    findings.extend(architecture::check(&architecture::packages(root)?));

    let methods = methods::discover(&sources);
    findings.extend(methods::check(
        &methods,
        methods::registered(&sources).as_deref(),
    ));
    findings.extend(methods::check_headers(&methods, &sources));
    findings.extend(seams::check(&sources, &methods));
    findings.extend(docs::check(&tree, &methods));
    findings.extend(readmes::check(&tree));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Prints every finding.
///
/// # Errors
/// A rule is broken, or the workspace cannot be read.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let findings = findings(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    ensure!(
        findings.is_empty(),
        "tidy found {} problem(s)",
        findings.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_tidy() {
        let findings = findings(&crate::shell::workspace_root()).unwrap();
        let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert!(
            lines.is_empty(),
            "{} problem(s):\n{}",
            lines.len(),
            lines.join("\n")
        );
    }

    #[test]
    fn a_finding_reads_as_path_line_message() {
        let finding = Finding::new("crates/a/src/lib.rs", 7, "too long");
        assert_eq!(finding.to_string(), "crates/a/src/lib.rs:7: too long");
    }
}
