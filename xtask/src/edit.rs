//! Small edits of Rust source text: one more module, one more element of a list.

use anyhow::Context;

/// Adds `pub mod name;` in alphabetical order among the `pub mod` lines, or at the end.
pub(crate) fn add_module(text: &str, name: &str) -> String {
    let line = format!("pub mod {name};");
    let mut lines: Vec<_> = text.lines().collect();
    let is_module =
        |candidate: &&str| candidate.starts_with("pub mod ") && candidate.ends_with(';');
    let later = lines
        .iter()
        .position(|other| is_module(other) && *other > line.as_str());
    let after_last = lines.iter().rposition(is_module).map(|last| last + 1);
    lines.insert(later.or(after_last).unwrap_or(lines.len()), &line);
    lines.join("\n") + "\n"
}

/// Adds an element at the end of the array constant `name`.
///
/// # Errors
/// The text holds no `const name: .. = &[ .. ];`.
pub(crate) fn add_to_list(text: &str, name: &str, element: &str) -> anyhow::Result<String> {
    let missing = || format!("no array constant `{name}` found to extend");
    let start = text.find(&format!("const {name}:")).with_context(missing)?;
    let value = start + text[start..].find('=').with_context(missing)?;
    let end = value + text[value..].find("];").with_context(missing)?;
    let head = text[..end].trim_end();
    let comma = if head.ends_with([',', '[']) { "" } else { "," };
    Ok(format!("{head}{comma}\n    {element},\n{}", &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_finds_its_place_in_the_alphabet() {
        assert_eq!(
            add_module("//! A.\n\npub mod a;\npub mod c;\n\npub use a::A;\n", "b"),
            "//! A.\n\npub mod a;\npub mod b;\npub mod c;\n\npub use a::A;\n"
        );
        assert_eq!(
            add_module("//! A.\npub mod a;\npub use a::A;\n", "b"),
            "//! A.\npub mod a;\npub mod b;\npub use a::A;\n"
        );
        assert_eq!(add_module("//! A.\n", "b"), "//! A.\npub mod b;\n");
    }

    #[test]
    fn a_list_grows_at_its_end() {
        let grown = add_to_list("const M: &[&E] = &[&a::A];\nfn f() {}\n", "M", "&b::B").unwrap();
        assert_eq!(
            grown,
            "const M: &[&E] = &[&a::A,\n    &b::B,\n];\nfn f() {}\n"
        );
        let grown = add_to_list("const M: &[&E] = &[\n    &a::A,\n];\n", "M", "&b::B").unwrap();
        assert_eq!(grown, "const M: &[&E] = &[\n    &a::A,\n    &b::B,\n];\n");
        assert_eq!(
            add_to_list("const M: &[E] = &[];", "M", "B").unwrap(),
            "const M: &[E] = &[\n    B,\n];"
        );
    }

    #[test]
    fn a_missing_list_is_an_error() {
        assert!(
            add_to_list("const N: u8 = 1;", "M", "B")
                .unwrap_err()
                .to_string()
                .contains("`M`")
        );
    }
}
