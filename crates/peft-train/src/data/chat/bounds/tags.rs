//! The pieces of a template, cut as the template engine cuts them: texts, tags and the words and signs of a tag.
//!
//! The engine's own lexer is not public. What this one is not sure of it refuses, so that nothing passes unseen.

/// Why a template could not be followed.
pub(in crate::data::chat) struct Unsure;

/// What a word or sign of a tag is; texts and numbers are what they are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data::chat) enum Kind {
    Name,
    Text,
    Number,
    Sign,
}

/// A word or sign of a tag and where it stands in the template.
#[derive(Debug, Clone, Copy)]
pub(in crate::data::chat) struct Token<'s> {
    pub(in crate::data::chat) kind: Kind,
    pub(in crate::data::chat) text: &'s str,
    pub(in crate::data::chat) start: usize,
    pub(in crate::data::chat) end: usize,
}

/// A tag and the text before it.
#[derive(Debug)]
pub(in crate::data::chat) struct Tag<'s> {
    /// Whether it is a statement, `{% %}`, and not an expression, `{{ }}`.
    pub(in crate::data::chat) is_block: bool,
    pub(in crate::data::chat) start: usize,
    /// The sign that controls the white space before it.
    pub(in crate::data::chat) control: Option<char>,
    /// Where the text directly before it begins.
    pub(in crate::data::chat) text_start: usize,
    /// Bytes of text that are written since the tag before.
    pub(in crate::data::chat) text_length: usize,
    pub(in crate::data::chat) tokens: Vec<Token<'s>>,
}

const TWO: [&str; 6] = ["//", "**", "==", "!=", ">=", "<="];
const ONE: &str = "+-*/%.,:~|=><()[]{}";

/// The tags of a template.
pub(in crate::data::chat) fn tags(source: &str) -> Result<Vec<Tag<'_>>, Unsure> {
    let (mut found, mut at, mut written) = (Vec::new(), 0, 0);
    while let Some(start) = next_tag(source, at) {
        written += start - at;
        let inner = start + 2;
        let control = from(source, inner)
            .chars()
            .next()
            .filter(|sign| matches!(sign, '-' | '+'));
        let inner = inner + usize::from(control.is_some());
        let rest = from(source, inner);
        match source.as_bytes().get(start + 1) {
            Some(b'#') => {
                let end = inner + rest.find("#}").ok_or(Unsure)?;
                let last = source
                    .get(inner..end)
                    .and_then(|before| before.chars().next_back());
                at = after_tag(source, end + 2, last);
            }
            Some(b'%') if word_tag(rest, "raw", false).is_some() => {
                let (length, _) = word_tag(rest, "raw", false).ok_or(Unsure)?;
                let (raw, end, last) = raw_block(source, inner + length)?;
                written += raw;
                at = after_tag(source, end, last);
            }
            sign => {
                let is_block = sign == Some(&b'%');
                let (tokens, end, last) =
                    tokens(source, inner, if is_block { "%}" } else { "}}" })?;
                let (text_start, text_length) = (at, written);
                at = if is_block {
                    after_tag(source, end, last)
                } else {
                    end
                };
                found.push(Tag {
                    is_block,
                    start,
                    control,
                    text_start,
                    text_length,
                    tokens,
                });
                written = 0;
            }
        }
    }
    Ok(found)
}

fn from(source: &str, at: usize) -> &str {
    source.get(at..).unwrap_or("")
}

fn next_tag(source: &str, at: usize) -> Option<usize> {
    let found = ["{{", "{%", "{#"]
        .into_iter()
        .filter_map(|mark| from(source, at).find(mark));
    found.min().map(|found| at + found)
}

/// Where the text after a statement begins: one line break belongs to the tag unless a sign at its end says otherwise.
fn after_tag(source: &str, end: usize, control: Option<char>) -> usize {
    let rest = from(source, end);
    if control.is_some_and(|sign| matches!(sign, '-' | '+')) {
        return end;
    }
    let rest = rest.strip_prefix('\r').unwrap_or(rest);
    source.len() - rest.strip_prefix('\n').unwrap_or(rest).len()
}

/// The length of the rest of a tag of one word, and the sign at its end.
fn word_tag(rest: &str, word: &str, controlled: bool) -> Option<(usize, Option<char>)> {
    let blank = |sign: char| sign.is_ascii_whitespace();
    let inner = if controlled {
        rest.strip_prefix(['-', '+']).unwrap_or(rest)
    } else {
        rest
    };
    let inner = inner
        .trim_start_matches(blank)
        .strip_prefix(word)?
        .trim_start_matches(blank);
    let control = inner
        .chars()
        .next()
        .filter(|sign| matches!(sign, '-' | '+'));
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    inner
        .strip_prefix("%}")
        .map(|after| (rest.len() - after.len(), control))
}

/// The bytes of a raw block, where its last tag ends, and the sign there.
fn raw_block(source: &str, start: usize) -> Result<(usize, usize, Option<char>), Unsure> {
    let mut at = start;
    while let Some(found) = from(source, at).find("{%") {
        at += found + 2;
        if let Some((length, control)) = word_tag(from(source, at), "endraw", true) {
            return Ok((at - 2 - start, at + length, control));
        }
    }
    Err(Unsure)
}

/// The words and signs of a tag, where it ends, and the sign there.
fn tokens<'s>(
    source: &'s str,
    start: usize,
    close: &str,
) -> Result<(Vec<Token<'s>>, usize, Option<char>), Unsure> {
    let (mut found, mut at, mut open) = (Vec::<Token<'s>>::new(), start, 0_usize);
    loop {
        let rest = from(source, at);
        let blank = rest.len()
            - rest
                .trim_start_matches(|sign: char| sign.is_ascii_whitespace())
                .len();
        at += blank;
        let rest = from(source, at);
        if open == 0 {
            let control = rest.chars().next().filter(|sign| matches!(sign, '-' | '+'));
            if control.is_some() && from(rest, 1).starts_with(close) {
                return Ok((found, at + 3, control));
            }
            if rest.starts_with(close) {
                return Ok((found, at + 2, None));
            }
        }
        let after_dot = found
            .last()
            .is_some_and(|token| token.text == "." && token.end == at);
        let (kind, length) = token(rest, after_dot)?;
        let text = rest.get(..length).ok_or(Unsure)?;
        match text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open = open.checked_sub(1).ok_or(Unsure)?,
            _ => {}
        }
        found.push(Token {
            kind,
            text,
            start: at,
            end: at + length,
        });
        at += length;
    }
}

/// What a tag goes on with, and its length.
fn token(rest: &str, after_dot: bool) -> Result<(Kind, usize), Unsure> {
    if TWO.iter().any(|sign| rest.starts_with(sign)) {
        return Ok((Kind::Sign, 2));
    }
    match rest.chars().next().ok_or(Unsure)? {
        sign if ONE.contains(sign) => Ok((Kind::Sign, 1)),
        quote @ ('"' | '\'') => text_length(rest, quote).map(|length| (Kind::Text, length)),
        sign if sign.is_ascii_digit() => Ok((Kind::Number, number_length(rest, after_dot))),
        sign if sign.is_ascii_alphabetic() || sign == '_' => {
            let word = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
            Ok((
                Kind::Name,
                rest.find(|sign| !word(sign)).unwrap_or(rest.len()),
            ))
        }
        _ => Err(Unsure),
    }
}

fn text_length(rest: &str, quote: char) -> Result<usize, Unsure> {
    let mut escaped = false;
    for (at, sign) in rest.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            sign if sign == quote => return Ok(at + 1),
            _ => {}
        }
    }
    Err(Unsure)
}

/// As the engine reads numbers: `1.real` is a number and an attribute, `1.5`, `1e-5` and `1_000` are numbers.
fn number_length(rest: &str, after_dot: bool) -> usize {
    #[derive(Clone, Copy, PartialEq)]
    enum Part {
        Radix,
        Whole,
        Fraction,
        Exponent,
        Signed,
    }
    let bytes = rest.as_bytes();
    let radix = bytes
        .get(..2)
        .is_some_and(|start| matches!(start, [b'0', b'b' | b'B' | b'o' | b'O' | b'x' | b'X']));
    let is_hex = matches!(bytes.get(1), Some(b'x' | b'X'));
    let (mut part, mut at) = if radix {
        (Part::Radix, 2)
    } else {
        (Part::Whole, 0)
    };
    at += bytes
        .iter()
        .skip(at)
        .take_while(|sign| sign.is_ascii_digit())
        .count();
    while let Some(&sign) = bytes.get(at) {
        part = match (sign, part) {
            (b'.', Part::Whole) if after_dot => break,
            (b'.', Part::Whole) => {
                let next = |step: usize| bytes.get(at + step).copied().unwrap_or(b' ');
                let exponent =
                    matches!(next(1), b'e' | b'E') && matches!(next(2), b'+' | b'-' | b'0'..=b'9');
                if !exponent && (next(1).is_ascii_alphabetic() || next(1) == b'_') {
                    break;
                }
                Part::Fraction
            }
            (b'e' | b'E', Part::Whole | Part::Fraction) => Part::Exponent,
            (b'+' | b'-' | b'0'..=b'9', Part::Exponent) => Part::Signed,
            (b'0'..=b'9' | b'_', part) => part,
            (b'a'..=b'f' | b'A'..=b'F', Part::Radix) if is_hex => part,
            _ => break,
        };
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<Vec<&str>> {
        let tags = tags(source).unwrap_or_default();
        tags.iter()
            .map(|tag| tag.tokens.iter().map(|token| token.text).collect())
            .collect()
    }

    #[test]
    fn tags_are_cut_as_the_engine_cuts_them() {
        assert_eq!(
            words("a{{- x ~'}}\\'' -}}b{% if {'a':{}}%}{#{{no}}#}"),
            [
                vec!["x", "~", "'}}\\''"],
                vec!["if", "{", "'a'", ":", "{", "}", "}"]
            ]
        );
        assert_eq!(
            words("{{1.5.x}}{{1.real}}{{ 1e-5+0xfe_1 }}{{a.1.0}}{{2**3}}"),
            [
                vec!["1.5", ".", "x"],
                vec!["1", ".", "real"],
                vec!["1e-5", "+", "0xfe_1"],
                vec!["a", ".", "1", ".", "0"],
                vec!["2", "**", "3"]
            ]
        );
        assert_eq!(words("{% raw -%} {{ x }} {%- endraw %}{{ y }}"), [["y"]]);
        for broken in [
            "{{ 'a }}",
            "{{ é }}",
            "{{ ) }}",
            "{{ a",
            "{# a",
            "{% raw %}{% end %}",
        ] {
            assert!(tags(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn texts_are_counted_up_to_the_tag() {
        let found =
            tags("{% if x %}\n  abc{# no #}de{% raw %}{{{% endraw %}f{{ y }}").unwrap_or_default();
        let lengths: Vec<_> = found.iter().map(|tag| tag.text_length).collect();
        assert_eq!(lengths, [0, 5 + 2 + 2 + 1]);
    }
}
