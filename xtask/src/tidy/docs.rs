//! Every method has its page, its golden numbers, its contract test and its place in the README.

use super::{Finding, methods::Method, tree::Tree};

/// Where the golden numbers of a method with a file of its own lie.
pub(crate) fn golden_folder(krate: &str, id: &str) -> String {
    format!("crates/{krate}/tests/golden/{id}")
}

/// Where a method's page lies.
pub(crate) fn page(id: &str) -> String {
    format!("docs/methods/{id}.md")
}

/// Finds methods that lack one of the four.
pub(crate) fn check(tree: &Tree, methods: &[Method]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for method in methods {
        let mut find = |message: String| {
            findings.push(Finding::new(&method.path, method.line, message));
        };
        let id = &method.id;
        let page = page(id);
        if tree.text(&page).is_none_or(|text| text.trim().is_empty()) {
            find(format!("`{id}` has no page {page}"));
        } else if tree.text(&page).is_some_and(|text| text.contains("{{")) {
            find(format!("{page} still holds `{{{{..}}}}` of the template"));
        }
        if !tree.paths().any(|path| is_golden(path, method)) {
            find(format!(
                "`{id}` has no golden numbers in {}",
                golden_folder(&method.krate, id)
            ));
        }
        if !has_contract(tree, method) {
            let place = format!("crates/{}/tests/contract.rs", method.krate);
            find(format!(
                "`{id}` has no contract test: use `{}` in {place}",
                method.constant
            ));
        }
        if !tree
            .text("README.md")
            .is_some_and(|readme| mentions(readme, id))
        {
            find(format!("README.md does not mention `{id}`"));
        }
    }
    findings
}

/// Whether a file holds golden numbers: any in the method's folder, or, when methods share a source file,
/// `<source file>/<id>.json` and `<source file>/<id>-<case>.json`.
fn is_golden(path: &str, method: &Method) -> bool {
    let own = path.strip_prefix(&format!("{}/", golden_folder(&method.krate, &method.id)));
    if own.is_some_and(|name| !name.ends_with(".md")) {
        return true;
    }
    let stem = method
        .path
        .rsplit('/')
        .next()
        .and_then(|name| name.strip_suffix(".rs"));
    let shared = golden_folder(&method.krate, stem.unwrap_or_default());
    let name = path.strip_prefix(&format!("{shared}/{}", method.id));
    name.is_some_and(|rest| rest.starts_with(['.', '-']))
}

/// Whether a contract test of the method's crate uses its constant.
fn has_contract(tree: &Tree, method: &Method) -> bool {
    let folder = format!("crates/{}/", method.krate);
    tree.texts_ending_with(".rs").any(|(path, text)| {
        let name = path.strip_prefix(&folder).unwrap_or_default();
        name.starts_with("tests/") && name.contains("contract") && mentions(text, &method.constant)
    })
}

/// Whether `word` stands in `text` as a whole word.
fn mentions(text: &str, word: &str) -> bool {
    let inner = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    text.match_indices(word).any(|(place, _)| {
        !text[..place].ends_with(inner) && !text[place + word.len()..].starts_with(inner)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 4] = [
        ("docs/methods/dora.md", "# DoRA\n"),
        ("crates/peft-decompose/tests/golden/dora/values.json", "{}"),
        (
            "crates/peft-decompose/tests/contract.rs",
            "fn t() { holds(&DORA) }",
        ),
        ("README.md", "| `dora` | decomposed |"),
    ];

    fn method() -> Vec<Method> {
        vec![Method {
            id: "dora".to_owned(),
            constant: "DORA".to_owned(),
            krate: "peft-decompose".to_owned(),
            path: "crates/peft-decompose/src/dora.rs".to_owned(),
            line: 9,
        }]
    }

    #[test]
    fn a_complete_method_passes() {
        assert!(check(&Tree::of(&FILES), &method()).is_empty());
    }

    #[test]
    fn each_missing_part_is_found() {
        for missing in FILES {
            let rest: Vec<_> = FILES
                .iter()
                .copied()
                .filter(|file| *file != missing)
                .collect();
            let findings = check(&Tree::of(&rest), &method());
            assert_eq!(findings.len(), 1, "{}", missing.0);
            assert_eq!(findings[0].line, 9);
        }
    }

    #[test]
    fn methods_of_one_file_share_a_folder_of_golden_numbers() {
        let mut method = method().remove(0);
        method.path = "crates/peft-decompose/src/shared.rs".to_owned();
        assert!(is_golden(
            "crates/peft-decompose/tests/golden/shared/dora.json",
            &method
        ));
        assert!(is_golden(
            "crates/peft-decompose/tests/golden/shared/dora-no-bias.json",
            &method
        ));
        assert!(!is_golden(
            "crates/peft-decompose/tests/golden/shared/dorax.json",
            &method
        ));
        assert!(!is_golden(
            "crates/peft-decompose/tests/golden/other/dora.json",
            &method
        ));
    }

    #[test]
    fn parts_without_content_are_found() {
        let hollow = [
            ("docs/methods/dora.md", "# {{name}}\n"),
            (
                "crates/peft-decompose/tests/golden/dora/README.md",
                "made by a script",
            ),
            (
                "crates/peft-decompose/tests/contract.rs",
                "fn t() { holds(&QDORA) }",
            ),
            ("README.md", "| `qdora` |"),
        ];
        assert_eq!(check(&Tree::of(&hollow), &method()).len(), 4);
    }
}
