//! Rows on a terminal, or as plain text where there is none.

use std::io::IsTerminal;

use peft_run::preview::{ShownRow, ShownToken};

const LEARNT: &str = "\x1b[32m";
const LEARNT_TOO: &str = "\x1b[92m";
const GIVEN: &str = "\x1b[2m";
const GIVEN_TOO: &str = "\x1b[90m";
const RESET: &str = "\x1b[0m";

/// Prints rows: in colours on a terminal, unless NO_COLOR is set.
pub(super) fn print(rows: &[ShownRow]) {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stdout().is_terminal() && !refused;
    let has_tokens = rows.iter().any(|row| !row.tokens.is_empty());
    if has_tokens {
        match colours {
            true => {
                println!("\n{LEARNT}learnt{RESET}, {GIVEN}given{RESET}; shades tell tokens apart")
            }
            false => println!("\ntokens end at |, learnt ones stand in [[ ]]"),
        }
    }
    for row in rows {
        print!("\n{}", title(row));
        println!("\n{}", text(&row.tokens, colours));
    }
}

fn title(row: &ShownRow) -> String {
    let mut title = format!("row {}", row.row);
    if !row.tokens.is_empty() {
        title.push_str(&format!(", {} tokens", row.tokens.len()));
    }
    let learnt = row.tokens.iter().filter(|token| token.learnt).count();
    if learnt > 0 {
        title.push_str(&format!(", {learnt} learnt"));
    }
    for (name, value) in [("file", &row.file), ("label", &row.label)] {
        if let Some(value) = value {
            title.push_str(&format!(", {name} {value}"));
        }
    }
    title
}

/// Tokens one after the other; where another text of the row begins, a line of its own.
fn text(tokens: &[ShownToken], colours: bool) -> String {
    let mut out = String::new();
    let mut before: Option<&ShownToken> = None;
    for (at, token) in tokens.iter().enumerate() {
        let changes = before.is_none_or(|before| before.learnt != token.learnt);
        if before.is_some_and(|before| before.segment != token.segment) {
            out.push_str("\n--- another text ---\n");
        }
        if colours {
            let colour = match (token.learnt, at % 2) {
                (true, 0) => LEARNT,
                (true, _) => LEARNT_TOO,
                (false, 0) => GIVEN,
                (false, _) => GIVEN_TOO,
            };
            out.push_str(&format!("{colour}{}{RESET}", visible(&token.text)));
        } else {
            if changes && at > 0 && !token.learnt {
                out.push_str("]]");
            }
            if changes && token.learnt {
                out.push_str("[[");
            }
            out.push_str(&format!("{}|", visible(&token.text)));
        }
        before = Some(token);
    }
    if !colours && before.is_some_and(|last| last.learnt) {
        out.push_str("]]");
    }
    out
}

/// White space that is a token's own is seen; signs that would steer the terminal are not obeyed.
fn visible(text: &str) -> String {
    let mut out = String::new();
    for sign in text.chars() {
        match sign {
            '\n' => out.push_str("\\n\n"),
            '\t' => out.push_str("\\t"),
            sign if sign.is_control() => out.extend(sign.escape_default()),
            sign => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, learnt: bool, segment: u32) -> ShownToken {
        ShownToken {
            id: 1,
            text: text.into(),
            learnt,
            segment,
        }
    }

    #[test]
    fn learnt_tokens_are_marked_with_and_without_colours() {
        let tokens = [
            token("a", false, 1),
            token(" b\n", true, 1),
            token("\x1b", true, 1),
            token("c", false, 2),
        ];
        assert_eq!(
            text(&tokens, false),
            "a|[[ b\\n\n|\\u{1b}|\n--- another text ---\n]]c|"
        );
        let coloured = text(&tokens, true);
        assert!(
            coloured.contains("\x1b[92m b\\n\n\x1b[0m\x1b[32m\\u{1b}"),
            "{coloured:?}"
        );
        assert!(text(&tokens[..2], false).ends_with("|]]"));
    }
}
