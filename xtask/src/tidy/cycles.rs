//! Modules of a crate do not need each other in a circle.
//!
//! A module needs another where its code, outside tests, names it by `crate::`, `super::` or `self::`; a name that a module only hands on
//! counts for the module that it comes from. A module and what lies in its folder are one concept: between them nothing counts.

mod graph;
mod names;

use std::collections::BTreeMap;

use super::{Finding, rust::RustFile};
use graph::Graph;

/// The path of a module inside its crate, without `crate`.
type Module = Vec<String>;

/// One crate: its modules, each with the names that it imports and where they come from.
#[derive(Default)]
struct Package<'a> {
    files: BTreeMap<Module, Vec<&'a RustFile>>,
    imports: BTreeMap<Module, BTreeMap<String, Module>>,
}

/// Finds modules that need each other in a circle, one finding for each group of them.
pub(crate) fn check(files: &[RustFile]) -> Vec<Finding> {
    let mut packages: BTreeMap<&str, Package<'_>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.is_test(1)) {
        if let Some((package, module)) = place(&file.path) {
            let modules = &mut packages.entry(package).or_default().files;
            modules.entry(module).or_default().push(file);
        }
    }
    packages.into_values().flat_map(Package::findings).collect()
}

/// The package and the module of a file; `None` outside `src`, and for programs in `src/bin`.
fn place(path: &str) -> Option<(&str, Module)> {
    let (package, inside) = path.split_once("/src/")?;
    let mut module: Module = inside
        .strip_suffix(".rs")?
        .split('/')
        .map(str::to_owned)
        .collect();
    if module[0] == "bin" {
        return None;
    }
    if matches!(
        module.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        module.pop();
    }
    Some((package, module))
}

impl Package<'_> {
    fn findings(mut self) -> Vec<Finding> {
        let all = self.files.iter();
        let imports = all.map(|(module, files)| {
            let own = files.iter().flat_map(|file| names::imports(file));
            let known = own.filter_map(|(name, path)| {
                let child = module
                    .iter()
                    .chain(path.first())
                    .cloned()
                    .collect::<Vec<_>>();
                let place = names::absolute(module, &path).or_else(|| {
                    self.files
                        .contains_key(&child)
                        .then(|| [&module[..], &path[..]].concat())
                })?;
                Some((name, place))
            });
            (module.clone(), known.collect())
        });
        self.imports = imports.collect();
        let mut graph = Graph::default();
        for (module, files) in &self.files {
            for file in files {
                for (line, path) in names::used(file) {
                    let target = names::absolute(module, &path).map(|path| self.owner(path));
                    if let Some(target) = target.filter(|target| !is_one_concept(module, target)) {
                        graph.add(module, &target, &file.path, line);
                    }
                }
            }
        }
        graph.circles().map(finding).collect()
    }

    /// The module that a name comes from: the deepest one on the path, unless that only imports the name.
    fn owner(&self, mut path: Module) -> Module {
        for _ in 0..8 {
            let depth = (0..=path.len())
                .rev()
                .find(|depth| self.files.contains_key(&path[..*depth]))
                .unwrap_or(0);
            let rest = path.split_off(depth);
            let import = rest
                .first()
                .and_then(|name| self.imports.get(&path)?.get(name));
            match import {
                Some(place) => path = [place, &rest[1..]].concat(),
                None => break,
            }
        }
        path
    }
}

/// Whether one module is the other or lies in its folder.
fn is_one_concept(one: &Module, other: &Module) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// What is said of a circle, at the line of its first edge.
fn finding(circle: Vec<graph::Edge<'_>>) -> Finding {
    let mut names: Vec<String> = circle.iter().map(|edge| edge.from.join("::")).collect();
    names.extend(names.first().cloned());
    let message = format!(
        "modules need each other in a circle: {}; move what they share to a module below them",
        names.join(" -> ")
    );
    Finding::new(circle[0].path, circle[0].line, message)
}

#[cfg(test)]
mod tests;
