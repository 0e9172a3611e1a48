//! One parsed Rust file: flat tokens with lines, functions with their length, test code, plain comments.

use std::{ops::RangeInclusive, str::FromStr};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::{Attribute, Item, spanned::Spanned, visit::Visit};

use super::Finding;

/// What a token is, as far as the checks care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Identifier,
    Literal,
    /// Punctuation, and the brackets of groups.
    Mark,
    /// The text of a `///` or `//!` comment.
    Doc,
}

/// One token and its 1-based line.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Token {
    /// The text between the quotes when the token is a string literal.
    pub(crate) fn string(&self) -> Option<String> {
        let is_literal = self.kind == Kind::Literal;
        is_literal
            .then(|| syn::parse_str::<syn::LitStr>(&self.text).ok())
            .flatten()
            .map(|s| s.value())
    }
}

/// A function's name and its lines from `fn` to the closing brace.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) lines: RangeInclusive<usize>,
}

/// A source file taken apart.
pub(crate) struct RustFile {
    /// Path relative to the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
    pub(crate) tokens: Vec<Token>,
    pub(crate) functions: Vec<Function>,
    /// Plain `//` and `/* */` comments as `(line, text)`.
    pub(crate) comments: Vec<(usize, String)>,
    tests: Vec<RangeInclusive<usize>>,
}

impl RustFile {
    /// Parses a file.
    ///
    /// # Errors
    /// The text is not valid Rust: the finding carries the place.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, Finding> {
        let fail =
            |line, message: String| Finding::new(path, line, format!("not valid Rust: {message}"));
        let syntax = syn::parse_file(text)
            .map_err(|error| fail(error.span().start().line, error.to_string()))?;
        let stream = TokenStream::from_str(text)
            .map_err(|error| fail(error.span().start().line, error.to_string()))?;
        let mut flat = Flat {
            tokens: Vec::new(),
            bare: text.lines().map(str::to_owned).collect(),
        };
        flat.extend(stream);
        let mut shape = Shape::default();
        shape.visit_file(&syntax);
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
            syntax,
            comments: comments(&flat.bare),
            tokens: flat.tokens,
            functions: shape.functions,
            tests: shape.tests,
        })
    }

    /// Whether it is a source of a crate, and no test or tool.
    pub(crate) fn is_source_of_crate(&self) -> bool {
        self.path.starts_with("crates/") && self.path.contains("/src/")
    }

    /// Whether a line belongs to tests: a `#[cfg(test)]` item, a `tests` folder, a `tests.rs`, a benchmark.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        let test_file = self
            .path
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs" | "benches"));
        test_file || self.tests.iter().any(|range| range.contains(&line))
    }

    /// The `//!` lines at the top of the file, without the marker.
    pub(crate) fn header(&self) -> impl Iterator<Item = &str> {
        self.text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(str::trim)
    }
}

/// Collects tokens, and blanks them in `bare` so that only comments stay.
struct Flat {
    tokens: Vec<Token>,
    bare: Vec<String>,
}

impl Flat {
    fn extend(&mut self, stream: TokenStream) {
        let mut trees = stream.into_iter().peekable();
        while let Some(tree) = trees.next() {
            if let Some(TokenTree::Group(group)) = trees.peek()
                && let Some(text) = doc_comment(&tree, group)
            {
                self.push(Kind::Doc, text, tree.span());
                trees.next();
                continue;
            }
            match tree {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    self.push(Kind::Mark, open.to_owned(), group.span_open());
                    self.extend(group.stream());
                    self.push(Kind::Mark, close.to_owned(), group.span_close());
                }
                TokenTree::Ident(ident) => {
                    self.push(Kind::Identifier, ident.to_string(), ident.span())
                }
                TokenTree::Literal(literal) => {
                    self.push(Kind::Literal, literal.to_string(), literal.span());
                }
                TokenTree::Punct(punct) => self.push(Kind::Mark, punct.to_string(), punct.span()),
            }
        }
    }

    fn push(&mut self, kind: Kind, text: String, span: Span) {
        let (start, end) = (span.start(), span.end());
        for line in start.line..=end.line {
            let Some(bare) = self.bare.get_mut(line - 1) else {
                continue;
            };
            let from = if line == start.line { start.column } else { 0 };
            let to = if line == end.line {
                end.column
            } else {
                usize::MAX
            };
            *bare = (bare.chars().enumerate())
                .map(|(column, letter)| {
                    if (from..to).contains(&column) {
                        ' '
                    } else {
                        letter
                    }
                })
                .collect();
        }
        self.tokens.push(Token {
            kind,
            text,
            line: start.line,
        });
    }
}

/// The text when `#` and `[doc = ".."]` came from one comment, which gives both the same place.
fn doc_comment(hash: &TokenTree, group: &proc_macro2::Group) -> Option<String> {
    let TokenTree::Punct(punct) = hash else {
        return None;
    };
    if !matches!(punct.as_char(), '#' | '!') || hash.span().start() != group.span().start() {
        return None;
    }
    let literal = group.stream().into_iter().last()?;
    syn::parse_str::<syn::LitStr>(&literal.to_string())
        .ok()
        .map(|text| text.value())
}

/// The comments in text whose tokens are blank.
fn comments(bare: &[String]) -> Vec<(usize, String)> {
    let numbered = bare
        .iter()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()));
    numbered
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            let text = line
                .trim_start_matches(['/', '*'])
                .trim_end_matches(['/', '*']);
            (number, text.trim().to_owned())
        })
        .collect()
}

/// Walks the syntax for functions and test items.
#[derive(Default)]
struct Shape {
    functions: Vec<Function>,
    tests: Vec<RangeInclusive<usize>>,
}

impl Shape {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = signature.span().start().line..=block.span().end().line;
        self.functions.push(Function {
            name: signature.ident.to_string(),
            lines,
        });
    }
}

impl<'ast> Visit<'ast> for Shape {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if attributes.iter().any(is_test_attribute) {
            self.tests
                .push(item.span().start().line..=item.span().end().line);
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if item.attrs.iter().any(is_test_attribute) {
            self.tests
                .push(item.span().start().line..=item.span().end().line);
        }
        self.function(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

/// `#[test]` and `#[cfg(test)]`.
fn is_test_attribute(attribute: &Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let condition = attribute
        .path()
        .is_ident("cfg")
        .then(|| attribute.parse_args::<syn::Path>());
    matches!(condition, Some(Ok(path)) if path.is_ident("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "//! Head.\n\n/// Doc \"text\".\nfn long(x: u8) {\n    // plain; comment\n    \
        f(\"// no comment\");\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {}\n}\n";

    fn sample() -> RustFile {
        RustFile::parse("crates/a/src/b.rs", SAMPLE).unwrap()
    }

    #[test]
    fn functions_have_their_names_and_lines() {
        let names: Vec<_> = sample()
            .functions
            .iter()
            .map(|f| (f.name.clone(), f.lines.clone()))
            .collect();
        assert_eq!(
            names,
            [("long".to_owned(), 4..=7), ("t".to_owned(), 12..=12)]
        );
    }

    #[test]
    fn comments_are_told_from_strings_and_documentation() {
        assert_eq!(sample().comments, [(5, "plain; comment".to_owned())]);
        let docs: Vec<_> = sample()
            .tokens
            .into_iter()
            .filter(|t| t.kind == Kind::Doc)
            .collect();
        assert_eq!((docs[0].line, docs[0].text.as_str()), (1, " Head."));
        assert_eq!((docs[1].line, docs[1].text.as_str()), (3, " Doc \"text\"."));
    }

    #[test]
    fn test_code_is_known_by_line_and_by_path() {
        let file = sample();
        assert!(!file.is_test(4));
        assert!(file.is_test(12));
        assert!(
            RustFile::parse("crates/a/tests/b.rs", "fn f() {}")
                .unwrap()
                .is_test(1)
        );
    }

    #[test]
    fn text_that_is_not_rust_is_a_finding_with_its_line() {
        let finding = RustFile::parse("a.rs", "//! A.\nfn f( {}\n").err().unwrap();
        assert_eq!((finding.path.as_str(), finding.line), ("a.rs", 2));
    }

    #[test]
    fn a_string_literal_gives_its_value() {
        let strings: Vec<_> = sample().tokens.iter().filter_map(Token::string).collect();
        assert_eq!(strings, ["// no comment"]);
    }
}
