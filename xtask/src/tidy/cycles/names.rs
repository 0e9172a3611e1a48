//! The paths that a file writes: what its code names, and what its `use` items bring in.

use syn::{Item, UseTree};

use super::{
    super::rust::{Kind, RustFile, Token},
    Module,
};

/// Every path from `crate`, `super` or `self` in code outside tests, with its line; the tree of a `use` gives each of its paths.
pub(super) fn used(file: &RustFile) -> Vec<(usize, Module)> {
    let code: Vec<&Token> = file
        .tokens
        .iter()
        .filter(|token| token.kind != Kind::Doc)
        .collect();
    let mut found = Vec::new();
    for (place, token) in code.iter().enumerate() {
        let is_head = matches!(token.text.as_str(), "crate" | "super" | "self");
        if is_head
            && !file.is_test(token.line)
            && opens_path(&code[..place])
            && is_path_mark(&code[place + 1..])
        {
            let mut rest = &code[place..];
            tree(&mut rest, &Vec::new(), &mut found);
        }
    }
    found
}

/// Whether a path may begin behind these tokens: after `::` one goes on, `$crate` is any crate, and `pub(in crate::..)` only says who sees an
/// item.
fn opens_path(before: &[&Token]) -> bool {
    let words: Vec<&str> = before
        .iter()
        .rev()
        .take(2)
        .map(|token| token.text.as_str())
        .collect();
    !matches!(words[..], ["$", ..] | [":", ":"] | ["in", "("])
}

/// Whether the tokens open with `::`.
fn is_path_mark(tokens: &[&Token]) -> bool {
    matches!(tokens, [first, second, ..] if first.text == ":" && second.text == ":")
}

/// Takes one path off the tokens, or all paths of a group in braces, and adds them behind `prefix`.
fn tree(tokens: &mut &[&Token], prefix: &Module, found: &mut Vec<(usize, Module)>) {
    let mut path = prefix.clone();
    while let Some((token, after)) = tokens.split_first() {
        if token.text == "{" {
            *tokens = after;
            while let Some(token) = tokens.first() {
                match token.text.as_str() {
                    "}" => break,
                    "," => *tokens = &tokens[1..],
                    _ => tree(tokens, &path, found),
                }
            }
            *tokens = tokens.get(1..).unwrap_or_default();
            return;
        }
        if token.kind != Kind::Identifier && token.text != "*" {
            break;
        }
        // `self` inside braces is the module before them, and `*` whatever it holds.
        if token.text != "*" && (token.text != "self" || path.is_empty()) {
            path.push(token.text.clone());
        }
        *tokens = after;
        if !is_path_mark(after) {
            let renamed = tokens.first().is_some_and(|token| token.text == "as");
            *tokens = if renamed { &tokens[2..] } else { tokens };
            found.push((token.line, path));
            return;
        }
        *tokens = &after[2..];
    }
    if let Some(token) = tokens.first() {
        found.push((token.line, path));
        *tokens = &tokens[1..];
    }
}

/// The names that the `use` items of a module bring in outside tests, each with its path as written.
pub(super) fn imports(file: &RustFile) -> Vec<(String, Module)> {
    let mut found = Vec::new();
    for item in &file.syntax.items {
        if let Item::Use(item) = item
            && !file.is_test(item.use_token.span.start().line)
        {
            leaves(&item.tree, &Vec::new(), &mut found);
        }
    }
    found
}

fn leaves(tree: &UseTree, prefix: &Module, found: &mut Vec<(String, Module)>) {
    let with = |name: &syn::Ident| {
        let mut path = prefix.clone();
        if name != "self" || path.is_empty() {
            path.push(name.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(&path.ident), found),
        UseTree::Name(name) => {
            let path = with(&name.ident);
            found.extend(path.last().cloned().map(|last| (last, path)));
        }
        UseTree::Rename(rename) => found.push((rename.rename.to_string(), with(&rename.ident))),
        UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|tree| leaves(tree, prefix, found)),
        UseTree::Glob(_) => {}
    }
}

/// A path that opens with `crate`, `super` or `self`, from the root of the crate; `None` of any other.
pub(super) fn absolute(module: &Module, path: &[String]) -> Option<Module> {
    let (head, mut rest) = path.split_first()?;
    let mut place = match head.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        _ => return None,
    };
    while let Some((_, after)) = rest.split_first().filter(|(next, _)| *next == "super") {
        place.pop()?;
        rest = after;
    }
    place.extend_from_slice(rest);
    Some(place)
}
