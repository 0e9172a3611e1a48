//! Puts guards into a template, filters that pay for what its operators, lists and texts make.
//!
//! A template comes with a model and may be hostile. The engine bounds the steps of a rendering but not its memory, and
//! its operators have no hook, so each operand that may be large goes through a filter: `x ~ y` becomes
//! `(x)|__part(1) ~ (y)|__part(1)`. A template that cannot be followed surely is refused, never passed on as it is.

use minijinja::{Environment, Error, ErrorKind};

use super::cursor::{Edits, Expressions};
use super::limits;
use super::tags::{Kind, Tag, Unsure, tags};

/// Bytes of text before a tag that are not worth a guard: the step of writing them is counted.
const SHORT: usize = 16;
/// Named blocks: every call of a macro goes through all of them.
const BLOCKS: usize = 16;
/// What a macro holds on to until the rendering ends.
const MACRO: usize = 1024;

/// The same template with guards.
pub(in crate::data::chat) fn guarded(source: &str) -> Result<String, Error> {
    edits(source).map_or_else(
        |Unsure| Err(original_error(source)),
        |edits| Ok(edited(source, edits)),
    )
}

/// What the engine says of a template that could not be followed.
fn original_error(source: &str) -> Error {
    let refused = || {
        Error::new(
            ErrorKind::SyntaxError,
            "the template has a form that is not taken here",
        )
    };
    // It multiplies constants while it compiles, with nothing to stop it.
    if source.contains('*') {
        return refused();
    }
    let compiled = limits::syntax().and_then(|syntax| {
        let mut environment = Environment::empty();
        environment.set_syntax(syntax);
        environment.add_template("chat_template", source)
    });
    compiled.err().unwrap_or_else(refused)
}

/// Texts for places, and how many bytes there make way.
fn edited(source: &str, mut edits: Vec<(usize, usize, String)>) -> String {
    // Those for one place stay in their order: inner brackets close before outer ones.
    edits.sort_by_key(|(at, ..)| *at);
    let (mut out, mut at) = (String::with_capacity(source.len() * 2), 0);
    for (place, removed, text) in edits {
        out.push_str(source.get(at..place).unwrap_or(""));
        out.push_str(&text);
        at = place + removed;
    }
    out.push_str(source.get(at..).unwrap_or(""));
    out
}

fn edits(source: &str) -> Result<Vec<(usize, usize, String)>, Unsure> {
    let (mut found, mut opened, mut blocks) = (Vec::new(), false, 0);
    for tag in tags(source)? {
        let word = if tag.is_block {
            tag.tokens.first().map_or("", |token| token.text)
        } else {
            ""
        };
        blocks += usize::from(word == "block");
        if blocks > BLOCKS {
            return Err(Unsure);
        }
        let held = if matches!(word, "macro" | "call") {
            MACRO
        } else {
            0
        };
        if opened || tag.text_length > SHORT || held > 0 {
            found.push(charge(source, &tag, tag.text_length + held));
        }
        // Every turn of a loop and every call passes a guard, which looks at the clock.
        opened = matches!(word, "for" | "macro" | "call" | "block");
        let inner = if tag.is_block {
            statement(&tag)?
        } else {
            written(&tag)?
        };
        found.extend(inner.into_iter().map(|(at, text)| (at, 0, text)));
    }
    Ok(found)
}

/// A tag before a tag that pays for the text there and writes nothing; the white space between stays what it was.
fn charge(source: &str, tag: &Tag, bytes: usize) -> (usize, usize, String) {
    let control = tag.control.map(String::from).unwrap_or_default();
    let text = format!("{{{{{control} {bytes}|__text }}}}");
    let before = source.get(..tag.start).unwrap_or("");
    let is_blank = |sign: char| sign.is_whitespace() && !matches!(sign, '\r' | '\n');
    let line = before.trim_end_matches(is_blank);
    let starts_line = line.is_empty() || line.ends_with(['\r', '\n']);
    if !tag.is_block || tag.control.is_some() || !starts_line {
        return (tag.start, 0, text);
    }
    // The engine drops the blanks before a statement that begins a line, but not those before what is put there.
    let between = source.get(tag.text_start..tag.start).unwrap_or("");
    let kept = between.trim_end_matches(is_blank);
    if kept.is_empty() || kept.ends_with('\n') {
        (
            tag.text_start + kept.len(),
            between.len() - kept.len(),
            text,
        )
    } else {
        (tag.start, 0, text)
    }
}

fn written(tag: &Tag) -> Result<Edits, Unsure> {
    let mut parser = Expressions::new(tag);
    parser.expression()?;
    finished(parser)
}

fn finished(parser: Expressions) -> Result<Edits, Unsure> {
    if parser.is_done() {
        Ok(parser.edits)
    } else {
        Err(Unsure)
    }
}

fn statement(tag: &Tag) -> Result<Edits, Unsure> {
    let mut parser = Expressions::new(tag);
    let word = parser.name()?.text;
    match word {
        "for" => {
            while !parser.skip("in") {
                target(&mut parser)?;
            }
            parser.guarded("__seen", true)?;
            if parser.skip("if") {
                parser.expression()?;
            }
            parser.skip("recursive");
        }
        "if" | "elif" => parser.condition()?,
        "autoescape" | "do" => parser.expression()?,
        "set" => set(&mut parser)?,
        "with" => {
            while !parser.is_done() {
                while !parser.skip("=") {
                    target(&mut parser)?;
                }
                parser.expression()?;
                parser.skip(",");
            }
        }
        "filter" => filters(&mut parser)?,
        "macro" => {
            parser.name()?;
            parser.expect("(")?;
            parameters(&mut parser)?;
        }
        "call" => {
            if parser.skip("(") {
                parameters(&mut parser)?;
            }
            parser.expression()?;
        }
        "block" | "else" | "break" | "continue" => names(&mut parser)?,
        word if word.starts_with("end") => names(&mut parser)?,
        // There are no other templates; one that includes itself would have no bounds.
        _ => return Err(Unsure),
    }
    finished(parser)
}

/// A name that a value is given to, or a sign between such.
fn target(parser: &mut Expressions) -> Result<(), Unsure> {
    let token = parser.next()?;
    let is_sign = matches!(token.text, "," | "(" | ")" | ".");
    if token.kind == Kind::Name || is_sign {
        Ok(())
    } else {
        Err(Unsure)
    }
}

fn set(parser: &mut Expressions) -> Result<(), Unsure> {
    let mut into_namespace = false;
    loop {
        if parser.is_done() {
            return Ok(());
        }
        if parser.skip("|") {
            return filters(parser);
        }
        if parser.skip("=") {
            return parser.assigned(into_namespace.then_some("__kept"));
        }
        into_namespace |= parser.peek() == ".";
        target(parser)?;
    }
}

fn filters(parser: &mut Expressions) -> Result<(), Unsure> {
    parser.filter_name()?;
    while parser.skip("|") {
        parser.filter_name()?;
    }
    Ok(())
}

/// Those of a macro, behind the bracket.
fn parameters(parser: &mut Expressions) -> Result<(), Unsure> {
    let mut is_first = true;
    while !parser.skip(")") {
        if !is_first {
            parser.expect(",")?;
            if parser.skip(")") {
                break;
            }
        }
        is_first = false;
        parser.name()?;
        if parser.skip("=") {
            parser.expression()?;
        }
    }
    Ok(())
}

fn names(parser: &mut Expressions) -> Result<(), Unsure> {
    while !parser.is_done() {
        parser.name()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> String {
        guarded(source).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn operands_get_guards() {
        let cases = [
            (
                "{{ a ~ 'b' + -c.d|upper }}",
                "{{ (a)|__part(2, true) ~ 'b' + (-c.d|upper)|__part(2, true) }}",
            ),
            (
                "{{ a + b + c }}",
                "{{ (a)|__part(2, false) + (b)|__part(2, false) + (c)|__part(1, false) }}",
            ),
            ("{{ 'a' ~ 'b' }}", "{{ 'a' ~ ('b')|__part(1, true) }}"),
            ("{{ 'a' * 2 }}", "{{ (('a')|__factor * 2)|__made }}"),
            ("{{ a - 1 }}{{ 1 + 2 }}", "{{ a - 1 }}{{ 1 + 2 }}"),
            (
                "{{ a * 2 + 1 }}",
                "{{ (((a)|__factor * 2)|__made)|__part(1, false) + 1 }}",
            ),
            (
                "{{ [1, 'a'] }}{{ [a] }}",
                "{{ [1, 'a'] }}{{ ([a]|__made) }}",
            ),
            (
                "{{ a[1:][0].b['c'] }}",
                "{{ (((a|__sliced)[1:]|__made)|__seen)[0].b['c'] }}",
            ),
            (
                "{{ a == 'x' }}{{ a == b }}",
                "{{ a == 'x' }}{{ (a)|__deep == b }}",
            ),
            (
                "{{ 'x' in a and a is in [b] }}",
                "{{ 'x' in (a)|__deep and a is in (([b]|__made)) }}",
            ),
            (
                "{% for a in b if c ~ d %}",
                "{% for a in (b)|__seen if (c)|__part(1, true) ~ (d)|__part(1, true) %}",
            ),
            (
                "{% set n.a = b, 1 %}",
                "{% set n.a = ((b, 1)|__made)|__kept %}",
            ),
            (
                "{{ loop(a) }}{{ f(*a) }}",
                "{{ loop((a)|__seen) }}{{ f(*(a)|__seen) }}",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(of(source), expected);
        }
    }

    #[test]
    fn texts_are_paid_for_where_they_stand() {
        let long = "x".repeat(20);
        assert_eq!(
            of(&format!("{long}{{{{- a }}}}")),
            format!("{long}{{{{- 20|__text }}}}{{{{- a }}}}")
        );
        assert_eq!(
            of(&format!("{long}\n  {{% if a %}}")),
            format!("{long}\n{{{{ 23|__text }}}}{{% if a %}}")
        );
        assert_eq!(
            of("{% macro f() %}{% endmacro %}"),
            "{{ 1024|__text }}{% macro f() %}{{ 0|__text }}{% endmacro %}"
        );
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let tower = "(".repeat(80) + "a" + &")".repeat(80);
        let forms = [
            "{% include 'chat_template' %}",
            "{{ loop.cycle() }}",
            "{{ a *a*a*a*a*a*a*a*a*a }}",
        ];
        let blocks = "{% block a %}{% endblock %}".repeat(BLOCKS + 1);
        for source in forms.into_iter().chain([
            blocks.as_str(),
            &format!("{{{{ {tower} }}}}"),
            "{{ a b }}",
            "{% if %}",
        ]) {
            assert!(guarded(source).is_err(), "{source}");
        }
    }
}
