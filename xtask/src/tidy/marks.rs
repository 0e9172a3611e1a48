//! Leftovers of unfinished work: placeholder macros, reminders, code that was commented out, merges that were not decided.

use super::{
    Finding,
    rust::{Kind, RustFile},
};

/// Macros that stand for missing or temporary code.
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// Words that mark unfinished work in comments.
const REMINDERS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Finds leftovers in code, comments and documentation.
pub(crate) fn check(file: &RustFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in file.tokens.windows(2) {
        let [name, bang] = pair else { continue };
        if name.kind == Kind::Identifier && MACROS.contains(&name.text.as_str()) && bang.text == "!"
        {
            let message = format!("`{}!` must not be committed", name.text);
            findings.push(Finding::new(&file.path, name.line, message));
        }
    }
    let docs = file.tokens.iter().filter(|token| token.kind == Kind::Doc);
    let docs = docs.map(|token| (token.line, token.text.as_str()));
    let comments = file
        .comments
        .iter()
        .map(|(line, text)| (*line, text.as_str()));
    for (line, text) in comments.clone().chain(docs) {
        let mut words = text.split(|letter: char| !letter.is_alphanumeric());
        if let Some(word) = words.find(|word| REMINDERS.contains(word)) {
            let message = format!("finish the work or open an issue instead of `{word}`");
            findings.push(Finding::new(&file.path, line, message));
        }
    }
    for (line, text) in comments {
        if is_code(text) {
            findings.push(Finding::new(
                &file.path,
                line,
                "commented-out code: the history keeps it",
            ));
        }
    }
    findings
}

/// Finds what a merge left undecided, in any file.
pub(crate) fn conflicts(path: &str, text: &str) -> Vec<Finding> {
    let is_mark = |line: &str| {
        ["<<<<<<< ", ">>>>>>> ", "||||||| "]
            .iter()
            .any(|mark| line.starts_with(mark))
    };
    let marked = text.lines().zip(1..).filter(|(line, _)| is_mark(line));
    marked
        .map(|(_, line)| Finding::new(path, line, "a merge was left undecided here"))
        .collect()
}

/// Whether a comment is a Rust statement: prose seldom ends in `;`, and never parses.
fn is_code(text: &str) -> bool {
    let does_something = text.contains(['(', '=', '!']) || text.starts_with("use ");
    let ends_like_code = text.ends_with(';') || text.ends_with('}');
    does_something
        && ends_like_code
        && syn::parse_str::<syn::Block>(&format!("{{ {text} }}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(body: &str) -> Vec<String> {
        let text = format!("//! A.\nfn f() {{\n{body}\n}}\n");
        let findings = check(&RustFile::parse("a.rs", &text).unwrap());
        findings
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn placeholder_macros_are_found() {
        for name in MACROS {
            assert_eq!(messages(&format!("{name}!(x);")).len(), 1, "{name}");
        }
    }

    #[test]
    fn reminders_are_found_in_comments_and_documentation() {
        for word in REMINDERS {
            assert_eq!(messages(&format!("// {word}: later")).len(), 1, "{word}");
            assert_eq!(
                messages(&format!("/// {word} later\nfn g() {{}}")).len(),
                1,
                "{word}"
            );
        }
    }

    #[test]
    fn commented_out_code_is_found() {
        for line in [
            "// let x = 1;",
            "// drop(x);",
            "// use a::b;",
            "/* if a == b { c() } */",
        ] {
            assert_eq!(
                messages(line),
                ["commented-out code: the history keeps it"],
                "{line}"
            );
        }
    }

    #[test]
    fn undecided_merges_are_found() {
        let text = format!(
            "a\n{} HEAD\nb\n=======\nc\n{} other\n",
            "<".repeat(7),
            ">".repeat(7)
        );
        let found = conflicts("docs/a.md", &text);
        assert_eq!(found.iter().map(|one| one.line).collect::<Vec<_>>(), [2, 6]);
        assert!(conflicts("docs/a.md", "Title\n=======\n>>> quoted\n").is_empty());
    }

    #[test]
    fn prose_and_strings_pass() {
        let prose = [
            "// rows sum to one (see below);",
            "// W' = W + scale * B A, where B is zero at the start",
            "g(\"// let x = 1;\");",
            "todo(x);",
        ];
        for line in prose {
            assert!(messages(line).is_empty(), "{line}");
        }
    }
}
