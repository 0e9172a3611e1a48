//! Rows as a page for a browser, which needs nothing else.

use peft_train::data::DataAccount;

use peft_run::preview::ShownRow;

const STYLE: &str = "body { font: 15px/1.6 sans-serif; margin: 2em; } \
    pre { white-space: pre-wrap; background: #f6f6f6; padding: 1em; } \
    .row span { border-right: 1px solid #ccc; white-space: pre-wrap; } \
    .row .learnt { background: #c9f0c9; } .row .given { color: #777; }";

/// The account and rows; a token's number is shown when the pointer rests on it.
pub(super) fn page(account: &DataAccount, rows: &[ShownRow]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Data of a run</title>\n\
         <style>{STYLE}</style></head><body>\n<pre>{}</pre>\n\
         <p class=\"row\"><span class=\"learnt\">learnt</span> <span class=\"given\">given</span></p>\n",
        escaped(&account.to_string())
    );
    for row in rows {
        page.push_str(&format!("<h3>Row {}", row.row));
        for part in [&row.file, &row.label].into_iter().flatten() {
            page.push_str(&format!(": {}", escaped(part)));
        }
        page.push_str("</h3>\n<p class=\"row\">");
        for (at, token) in row.tokens.iter().enumerate() {
            if at > 0 && row.tokens[at - 1].segment != token.segment {
                page.push_str("</p>\n<p class=\"row\">");
            }
            let class = if token.learnt { "learnt" } else { "given" };
            let text = escaped(&token.text).replace('\n', "\u{21b5}<br>");
            page.push_str(&format!(
                "<span class=\"{class}\" title=\"{}\">{text}</span>",
                token.id
            ));
        }
        page.push_str("</p>\n");
    }
    page.push_str("</body></html>\n");
    page
}

/// A text that a browser shows as it stands.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use peft_run::preview::ShownToken;

    #[test]
    fn tokens_are_marked_and_escaped() {
        let token = |text: &str, learnt| ShownToken {
            id: 7,
            text: text.into(),
            learnt,
            segment: 1,
        };
        let row = ShownRow {
            row: 3,
            file: None,
            label: Some("a&b".into()),
            tokens: vec![token("<s>", false), token("x\n", true)],
        };
        let page = page(&DataAccount::default(), &[row]);
        for part in [
            "<h3>Row 3: a&amp;b</h3>",
            "<span class=\"given\" title=\"7\">&lt;s&gt;</span>",
            "<span class=\"learnt\" title=\"7\">x\u{21b5}<br></span>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
