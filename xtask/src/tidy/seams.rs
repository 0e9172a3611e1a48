//! Methods, generic code and model families do not know each other.

use super::{
    Finding,
    methods::Method,
    rust::{Kind, RustFile},
};

/// Names of model families, whole words in lower case.
const FAMILIES: [&str; 17] = [
    "bert",
    "roberta",
    "distilbert",
    "llama",
    "mistral",
    "qwen",
    "qwen2",
    "qwen3",
    "gpt2",
    "gemma",
    "gemma2",
    "gemma3",
    "phi3",
    "smollm3",
    "granite",
    "olmo2",
    "vit",
];
/// Crates whose code must work for methods that do not exist yet.
const GENERIC: [&str; 4] = [
    "crates/peft-format/src/",
    "crates/peft-core/src/",
    "crates/peft-models/src/",
    "crates/peft-train/src/",
];
/// What a method leaves to the crates around it: two words joined by `::`, or one.
const OUTSIDE: [(&str, &str); 4] = [
    ("std", "fs"),
    ("std", "env"),
    ("std", "process"),
    ("clap", ""),
];

/// Finds code that knows what it should not.
pub(crate) fn check(files: &[RustFile], methods: &[Method]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let is_method_file = methods.iter().any(|method| method.path == file.path);
        if is_method_file {
            outside_world(file, &mut findings);
            family_names(file, &mut findings);
        } else if GENERIC.iter().any(|folder| file.path.starts_with(folder)) {
            method_ids(file, methods, &mut findings);
        }
        if is_family(&file.path) {
            method_words(file, methods, &mut findings);
        }
    }
    findings
}

/// Files right under `peft-models/src`, each one family; `lib.rs` only lists them.
fn is_family(path: &str) -> bool {
    let name = path.strip_prefix("crates/peft-models/src/");
    name.is_some_and(|name| {
        name != "lib.rs" && !name.starts_with("hf/") && !name.starts_with("layers/")
    })
}

/// String literals that equal a method's id.
fn method_ids(file: &RustFile, methods: &[Method], findings: &mut Vec<Finding>) {
    for token in file.tokens.iter().filter(|token| !file.is_test(token.line)) {
        let Some(text) = token.string() else { continue };
        if methods.iter().any(|method| method.id == text) {
            let message = format!(
                "generic code must not know the method \"{text}\": extend the trait instead"
            );
            findings.push(Finding::new(&file.path, token.line, message));
        }
    }
}

/// Words in a family's code and comments that name a method.
fn method_words(file: &RustFile, methods: &[Method], findings: &mut Vec<Finding>) {
    let ids: Vec<_> = methods
        .iter()
        .map(|method| method.id.replace(['-', '_'], ""))
        .collect();
    for (index, line) in file.text.lines().enumerate() {
        let found = words(line).into_iter().find(|word| ids.contains(word));
        if let Some(word) = found.filter(|_| !file.is_test(index + 1)) {
            let message = format!("a model family must not mention a method (`{word}`)");
            findings.push(Finding::new(&file.path, index + 1, message));
        }
    }
}

/// Files, variables and arguments in a method's file.
fn outside_world(file: &RustFile, findings: &mut Vec<Finding>) {
    let code: Vec<_> = file
        .tokens
        .iter()
        .filter(|token| token.kind != Kind::Doc)
        .collect();
    for (place, token) in code.iter().enumerate() {
        let path_to = |last: &str| {
            code[place..].get(1..4).is_some_and(|next| {
                next[0].text == ":" && next[1].text == ":" && next[2].text == last
            }) || grouped_import(&code[place..], last)
        };
        for (first, last) in OUTSIDE {
            let is_word = token.kind == Kind::Identifier && token.text == first;
            if is_word && (last.is_empty() || path_to(last)) {
                let name = if last.is_empty() {
                    first.to_owned()
                } else {
                    format!("{first}::{last}")
                };
                let message = format!("a method must not use `{name}`: it only computes");
                findings.push(Finding::new(&file.path, token.line, message));
            }
        }
    }
}

/// Whether the tokens read `std::{.., last, ..}`.
fn grouped_import(tokens: &[&super::rust::Token], last: &str) -> bool {
    let opens = tokens.get(3).is_some_and(|token| token.text == "{") && tokens[1].text == ":";
    opens
        && tokens[4..]
            .iter()
            .take_while(|token| token.text != ";")
            .any(|token| token.text == last)
}

/// Model families named in a method's code.
fn family_names(file: &RustFile, findings: &mut Vec<Finding>) {
    let code = file
        .tokens
        .iter()
        .filter(|token| token.kind != Kind::Doc && !file.is_test(token.line));
    for token in code {
        if let Some(word) = words(&token.text)
            .into_iter()
            .find(|word| FAMILIES.contains(&word.as_str()))
        {
            let message = format!("a method must not name a model family (`{word}`)");
            findings.push(Finding::new(&file.path, token.line, message));
        }
    }
}

/// The words of a text in lower case: split at `_` and marks, then at capitals, whole and in pieces.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        words.push(word.to_lowercase());
        let mut piece = String::new();
        for letter in word.chars() {
            if letter.is_uppercase() && piece.ends_with(|last: char| !last.is_uppercase()) {
                words.push(std::mem::take(&mut piece).to_lowercase());
            }
            piece.push(letter);
        }
        words.push(piece.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::methods::discover;

    const METHOD: &str = "crates/peft-core/src/lora.rs";
    const ENTRY: &str = "pub const LORA: MethodEntry = MethodEntry { id: \"lora\" };\n";

    /// Findings in `body` at `path`, beside a method `lora` in its own file.
    fn messages(path: &str, body: &str) -> Vec<String> {
        let own = RustFile::parse(METHOD, &format!("//! L.\n{ENTRY}")).unwrap();
        let text = if path == METHOD {
            format!("//! L.\n{ENTRY}{body}")
        } else {
            format!("//! A.\n{body}")
        };
        let file = RustFile::parse(path, &text).unwrap();
        let methods = discover(std::slice::from_ref(&own));
        check(&[file], &methods)
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn generic_code_that_matches_on_a_method_is_found() {
        for path in [
            "crates/peft-core/src/attach.rs",
            "crates/peft-train/src/run.rs",
        ] {
            let found = messages(
                path,
                "fn f(id: &str) -> bool {\n    matches!(id, \"lora\")\n}\n",
            );
            assert_eq!(found.len(), 1, "{path}");
            assert!(
                found[0].starts_with(&format!("{path}:3: generic code")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn tests_and_other_words_may_name_methods() {
        let path = "crates/peft-core/src/attach.rs";
        assert!(messages(path, "#[test]\nfn f() { g(\"lora\") }\n").is_empty());
        assert!(messages(path, "fn f() { g(\"lora_A.weight\") }\n").is_empty());
        assert!(messages(METHOD, "fn f() { g(\"lora\") }\n").is_empty());
    }

    #[test]
    fn a_family_that_mentions_a_method_is_found() {
        let path = "crates/peft-models/src/bert.rs";
        for body in [
            "fn f(x: LoraConfig) {}",
            "// for LoRA\n",
            "/// Like lora_a.\nfn f() {}",
        ] {
            assert_eq!(messages(path, body).len(), 1, "{body}");
        }
        assert!(messages(path, "fn explore() {}").is_empty());
    }

    #[test]
    fn a_method_that_reaches_outside_is_found() {
        for body in [
            "use std::fs;",
            "use std::{env, fmt};",
            "fn f() { std::fs::read(p); }",
            "use clap::Args;",
        ] {
            assert_eq!(messages(METHOD, body).len(), 1, "{body}");
        }
        assert!(messages(METHOD, "use std::{fmt, sync::Arc};\nfn f(fs: u8) {}").is_empty());
    }

    #[test]
    fn a_method_that_names_a_model_is_found() {
        for body in [
            "fn f(m: BertModel) {}",
            "fn f() { g(\"model.llama\") }",
            "use x::gpt2;",
        ] {
            assert_eq!(messages(METHOD, body).len(), 1, "{body}");
        }
        assert!(messages(METHOD, "/// As in BERT.\nfn f() {}").is_empty());
    }
}
