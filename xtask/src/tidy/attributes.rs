//! Attributes that switch a check off must say why, and one file alone may have unsafe code.

use super::{
    Finding,
    rust::{RustFile, Token},
};

/// The file whose instructions no safe function has.
const UNSAFE: &str = "crates/peft-bf16/src/avx512.rs";

/// Finds bare `should_panic` and `ignore`, and `allow` or `expect` without a reason, and unsafe code elsewhere.
pub(crate) fn check(file: &RustFile) -> Vec<Finding> {
    let tokens = &file.tokens;
    let mut findings = Vec::new();
    for place in 0..tokens.len() {
        let Some(attribute) = attribute_at(tokens, place) else {
            continue;
        };
        for (index, token) in attribute.iter().enumerate() {
            let mut find = |message| findings.push(Finding::new(&file.path, token.line, message));
            if let Some(message) = complaint(attribute, index) {
                find(message);
            }
            if token.text == "unsafe_code" && file.path != UNSAFE {
                find("unsafe code belongs into crates/peft-bf16/src/avx512.rs, or nowhere");
            }
        }
    }
    findings
}

/// The tokens between the brackets of the attribute that opens at `place`.
fn attribute_at(tokens: &[Token], place: usize) -> Option<&[Token]> {
    if tokens[place].text != "#" {
        return None;
    }
    let inner = usize::from(tokens.get(place + 1)?.text == "!");
    let open = place + 1 + inner;
    (tokens.get(open)?.text == "[").then(|| group(tokens, open))
}

/// The tokens inside the bracket at `open`.
fn group(tokens: &[Token], open: usize) -> &[Token] {
    let mut depth = 0_usize;
    for (offset, token) in tokens[open..].iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &tokens[open + 1..open + offset];
        }
    }
    &tokens[open + 1..]
}

/// What is wrong with the attribute that starts at `index`, directly or inside `cfg_attr(.., ..)`.
fn complaint(attribute: &[Token], index: usize) -> Option<&'static str> {
    let starts =
        index == 0 || (attribute[0].text == "cfg_attr" && attribute[index - 1].text == ",");
    if !starts {
        return None;
    }
    let next = attribute.get(index + 1).map(|token| token.text.as_str());
    let has = |word: &str| {
        group(attribute, index + 1)
            .iter()
            .any(|token| token.text == word)
    };
    match attribute[index].text.as_str() {
        "should_panic" if next != Some("(") || !has("expected") => {
            Some("`should_panic` needs `expected = \"..\"`: any other panic would pass too")
        }
        "ignore" if next != Some("=") => Some("`ignore` needs a reason: `#[ignore = \"..\"]`"),
        "allow" | "expect" if next == Some("(") && !has("reason") => {
            Some("`allow` and `expect` need `reason = \"..\"`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(attribute: &str) -> usize {
        let text = format!("//! A.\n{attribute}\nfn f() {{}}\n");
        check(&RustFile::parse("a.rs", &text).unwrap()).len()
    }

    #[test]
    fn attributes_without_a_reason_are_found() {
        assert_eq!(count("#[should_panic]"), 1);
        assert_eq!(count("#[ignore]"), 1);
        assert_eq!(count("#[allow(dead_code)]"), 1);
        assert_eq!(count("#[expect(dead_code)]"), 1);
        assert_eq!(count("#![allow(dead_code)]"), 1);
        assert_eq!(count("#[cfg_attr(test, allow(dead_code))]"), 1);
        assert_eq!(count("#[cfg_attr(windows, ignore)]"), 1);
    }

    #[test]
    fn attributes_with_a_reason_pass() {
        assert_eq!(count("#[should_panic(expected = \"rank\")]"), 0);
        assert_eq!(count("#[ignore = \"needs a GPU\"]"), 0);
        assert_eq!(count("#[allow(dead_code, reason = \"read by tests\")]"), 0);
        assert_eq!(count("#[derive(Debug)]"), 0);
    }

    #[test]
    fn unsafe_code_is_allowed_in_one_file() {
        let text = "//! A.\n#![allow(unsafe_code, reason = \"vectors\")]\n";
        let count = |path| check(&RustFile::parse(path, text).unwrap()).len();
        assert_eq!((count("a.rs"), count(UNSAFE)), (1, 0));
    }

    #[test]
    fn attributes_inside_macros_are_seen() {
        let text = "//! A.\nm! { #[ignore] fn f() {} }\n";
        assert_eq!(check(&RustFile::parse("a.rs", text).unwrap()).len(), 1);
    }
}
