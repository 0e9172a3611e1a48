//! Methods as the sources state them, compared with the one registry.

use std::collections::BTreeMap;

use syn::{Expr, Item, Lit, Member, spanned::Spanned};

use super::{Finding, METHOD_CRATES, rust::RustFile};

/// The list with one line per method.
pub(crate) const REGISTRY: &str = "crates/peft-run/src/registry.rs";
/// One `pub const NAME: MethodEntry = MethodEntry { id: "..", .. }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Method {
    /// The `id` field.
    pub(crate) id: String,
    /// The constant's name.
    pub(crate) constant: String,
    /// The crate that holds it.
    pub(crate) krate: String,
    /// The method's file.
    pub(crate) path: String,
    /// Where the constant stands.
    pub(crate) line: usize,
}

/// Every method defined outside tests in the crates that may hold one.
pub(crate) fn discover(files: &[RustFile]) -> Vec<Method> {
    let mut methods = Vec::new();
    for file in files {
        let Some(krate) = ["peft-core"]
            .iter()
            .chain(&METHOD_CRATES)
            .find(|name| file.path.starts_with(&format!("crates/{name}/src/")))
        else {
            continue;
        };
        for item in &file.syntax.items {
            let (constant, value) = match item {
                Item::Const(item) => (&item.ident, &*item.expr),
                Item::Static(item) => (&item.ident, &*item.expr),
                _ => continue,
            };
            let line = item.span().start().line;
            if let Some(id) = entry_id(value).filter(|_| !file.is_test(line)) {
                let (constant, krate) = (constant.to_string(), (*krate).to_owned());
                methods.push(Method {
                    id,
                    constant,
                    krate,
                    path: file.path.clone(),
                    line,
                });
            }
        }
    }
    methods
}

/// The `id` in `MethodEntry { id: "..", .. }`.
fn entry_id(value: &Expr) -> Option<String> {
    let Expr::Struct(entry) = value else {
        return None;
    };
    if entry.path.segments.last()?.ident != "MethodEntry" {
        return None;
    }
    entry
        .fields
        .iter()
        .find_map(|field| match (&field.member, &field.expr) {
            (Member::Named(name), Expr::Lit(literal)) if name == "id" => match &literal.lit {
                Lit::Str(id) => Some(id.value()),
                _ => None,
            },
            _ => None,
        })
}

/// `(line, constant's name)` of each element of the registry's `METHODS`; `None` where there is no registry.
pub(crate) fn registered(files: &[RustFile]) -> Option<Vec<(usize, String)>> {
    let registry = files.iter().find(|file| file.path == REGISTRY)?;
    let list = registry.syntax.items.iter().find_map(|item| match item {
        Item::Const(item) if item.ident == "METHODS" => Some(&*item.expr),
        Item::Static(item) if item.ident == "METHODS" => Some(&*item.expr),
        _ => None,
    });
    let mut list = list;
    while let Some(Expr::Reference(reference)) = list {
        list = Some(&reference.expr);
    }
    let Some(Expr::Array(array)) = list else {
        return Some(Vec::new());
    };
    let elements = array.elems.iter().filter_map(|element| {
        let element = if let Expr::Reference(reference) = element {
            &reference.expr
        } else {
            element
        };
        let Expr::Path(path) = element else {
            return None;
        };
        Some((
            element.span().start().line,
            path.path.segments.last()?.ident.to_string(),
        ))
    });
    Some(elements.collect())
}

/// Finds ids used twice, and differences between the sources and the registry.
pub(crate) fn check(methods: &[Method], registered: Option<&[(usize, String)]>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut ids = BTreeMap::new();
    for method in methods {
        if let Some(first) = ids.insert(&method.id, &method.path) {
            let message = format!("id `{}` is already used in {first}", method.id);
            findings.push(Finding::new(&method.path, method.line, message));
        }
    }
    let Some(registered) = registered else {
        let first = methods.first();
        findings.extend(first.map(|method| {
            let message = format!("there is no registry at {REGISTRY}");
            Finding::new(&method.path, method.line, message)
        }));
        return findings;
    };
    for method in methods {
        if !registered
            .iter()
            .any(|(_, constant)| *constant == method.constant)
        {
            let message = format!("`{}` has no line in {REGISTRY}", method.constant);
            findings.push(Finding::new(&method.path, method.line, message));
        }
    }
    for (index, (line, constant)) in registered.iter().enumerate() {
        if !methods.iter().any(|method| method.constant == *constant) {
            let message =
                format!("no method file defines `{constant}: MethodEntry` with a literal `id`");
            findings.push(Finding::new(REGISTRY, *line, message));
        }
        if registered[..index]
            .iter()
            .any(|(_, earlier)| earlier == constant)
        {
            findings.push(Finding::new(
                REGISTRY,
                *line,
                format!("`{constant}` is registered twice"),
            ));
        }
    }
    findings
}

/// Finds method files whose first paragraph lacks the paper's link or the formula.
pub(crate) fn check_headers(methods: &[Method], files: &[RustFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| methods.iter().any(|method| method.path == file.path))
    {
        let paragraph: Vec<_> = file.header().take_while(|line| !line.is_empty()).collect();
        let has = |needle: &str| paragraph.iter().any(|line| line.contains(needle));
        let papers = ["arxiv.org/abs/", "doi.org/", "openreview.net/forum"];
        if !papers.into_iter().any(has) {
            let message = "the header's first paragraph must link the paper (arxiv.org/abs/.., doi.org/.. or openreview.net/forum..)";
            findings.push(Finding::new(&file.path, 1, message));
        }
        if !has(" = ") {
            let message = "the header's first paragraph must state the formula (`y = ..`)";
            findings.push(Finding::new(&file.path, 1, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const DORA: &str = "//! DoRA, <https://arxiv.org/abs/2402.09353>: `W' = m V / |V|`.\n\
        pub const DORA: MethodEntry = MethodEntry { id: \"dora\", name: \"DoRA\" };\n";

    fn file(path: &str, text: &str) -> RustFile {
        RustFile::parse(path, text).unwrap()
    }

    fn dora() -> Vec<RustFile> {
        vec![file("crates/peft-decompose/src/dora.rs", DORA)]
    }

    fn registry(list: &str) -> RustFile {
        let text = format!("//! R.\npub const METHODS: &[&MethodEntry] = &[\n{list}\n];\n");
        file(REGISTRY, &text)
    }

    #[test]
    fn a_method_is_discovered_with_its_crate_and_place() {
        let methods = discover(&dora());
        assert_eq!(methods.len(), 1);
        assert_eq!(
            (methods[0].id.as_str(), methods[0].constant.as_str()),
            ("dora", "DORA")
        );
        assert_eq!(
            (methods[0].krate.as_str(), methods[0].line),
            ("peft-decompose", 2)
        );
        assert!(discover(&[file("crates/peft-train/src/dora.rs", DORA)]).is_empty());
    }

    #[test]
    fn methods_without_a_registry_are_found() {
        assert_eq!(registered(&dora()), None);
        let findings = check(&discover(&dora()), None);
        assert!(findings[0].message.contains("no registry"));
        assert!(check(&[], None).is_empty());
    }

    #[test]
    fn a_method_without_a_registry_line_is_found() {
        let listed = registered(&[registry("")]).unwrap();
        let findings = check(&discover(&dora()), Some(&listed));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("`DORA` has no line"));
    }

    #[test]
    fn a_registry_line_without_a_method_or_twice_is_found() {
        let listed = registered(&[registry("&a::DORA,\n&a::DORA,\n&b::GONE,")]).unwrap();
        let findings = check(&discover(&dora()), Some(&listed));
        let places: Vec<_> = findings
            .iter()
            .map(|f| (f.line, f.message.as_str()))
            .collect();
        assert_eq!(places[0], (4, "`DORA` is registered twice"));
        assert_eq!(places[1].0, 5);
        assert_eq!(places.len(), 2);
    }

    #[test]
    fn an_id_used_twice_is_found() {
        let mut files = dora();
        files.push(file("crates/peft-core/src/other.rs", DORA));
        assert!(
            check(&discover(&files), None)[0]
                .message
                .contains("already used")
        );
    }

    #[test]
    fn a_method_file_without_paper_or_formula_is_found() {
        assert!(check_headers(&discover(&dora()), &dora()).is_empty());
        let bare =
            DORA.replacen(": `W' = m V / |V|`", "", 1)
                .replacen("arxiv.org", "example.org", 1);
        let files = vec![file("crates/peft-decompose/src/dora.rs", &bare)];
        assert_eq!(check_headers(&discover(&files), &files).len(), 2);
    }
}
