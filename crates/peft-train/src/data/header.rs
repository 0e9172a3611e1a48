//! Whether the first row of a table looks like a header: names of columns rather than an example.

use std::collections::HashSet;

/// Words that stand in headers of data sets.
const USUAL: &str = "text texts sentence sentence1 sentence2 review reviews comment content message messages body title question query \
     utterance tweet document premise hypothesis label labels sentiment category class target intent topic score rating stars prompt \
     completion instruction input output response answer summary id idx index source quality";
/// The longest name of a column.
const LONGEST: usize = 40;
/// The share of texts that consist of several words, where a column holds texts.
const TEXTS: f64 = 0.9;

/// Whether the first of `rows` names the columns that stand at the places `columns`.
///
/// Its cells read as names and come back in no other row, and beside that it is told from the rows below: by numbers below a word, by
/// labels that repeat below one that does not, by texts of several words below a single one, by the usual names of columns.
pub(super) fn looks_like_header(rows: &[impl AsRef<[String]>], columns: &[usize]) -> bool {
    let Some((first, rest)) = rows.split_first() else {
        return false;
    };
    let first = first.as_ref();
    let names: Option<Vec<&str>> = columns
        .iter()
        .map(|at| first.get(*at).map(|cell| cell.trim()))
        .collect();
    let Some(names) = names else {
        return false;
    };
    let distinct: HashSet<&&str> = names.iter().collect();
    if distinct.len() < names.len() || !names.iter().all(|name| is_name(name)) {
        return false;
    }
    let (mut signs, mut certain) = (0, false);
    for (at, name) in columns.iter().zip(&names) {
        let below: Vec<&str> = rest
            .iter()
            .filter_map(|row| row.as_ref().get(*at))
            .map(|cell| cell.trim())
            .collect();
        if below.iter().any(|cell| cell.eq_ignore_ascii_case(name)) {
            return false;
        }
        let numbers = !below.is_empty() && below.iter().all(|cell| is_number(cell));
        certain |= numbers;
        signs += usize::from(numbers || repeats(&below) || (!has_space(name) && are_texts(&below)));
        signs += usize::from(is_usual(name));
    }
    certain || signs > 1
}

fn is_name(cell: &str) -> bool {
    let begins = cell.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let ends = !cell.ends_with(['.', '!', '?', ',', ';']);
    begins && ends && cell.chars().count() <= LONGEST && cell.split_whitespace().count() <= 3
}

fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

fn is_usual(name: &str) -> bool {
    USUAL
        .split_whitespace()
        .any(|usual| name.eq_ignore_ascii_case(usual))
}

fn has_space(cell: &str) -> bool {
    cell.contains(char::is_whitespace)
}

/// Labels: every one stands in two rows on average, or more.
fn repeats(below: &[&str]) -> bool {
    let distinct: HashSet<&&str> = below.iter().collect();
    below.len() > 1 && distinct.len() * 2 <= below.len()
}

fn are_texts(below: &[&str]) -> bool {
    let texts = below.iter().filter(|cell| has_space(cell)).count();
    !below.is_empty() && texts as f64 >= TEXTS * below.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(rows: &[[&str; 2]]) -> bool {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(ToString::to_string).collect())
            .collect();
        looks_like_header(&rows, &[0, 1])
    }

    #[test]
    fn names_above_examples_are_seen() {
        assert!(looks(&[
            ["review", "sentiment"],
            ["a fine film", "positive"],
            ["so dull", "negative"]
        ]));
        assert!(looks(&[
            ["Was gesagt wurde", "Note"],
            ["sehr gut", "1"],
            ["nein", "6"]
        ]));
        assert!(looks(&[
            ["body_txt", "kind"],
            ["buy now", "spam"],
            ["see you", "ham"],
            ["a b", "ham"],
            ["c d", "spam"]
        ]));
        assert!(looks(&[["Review", "Sentiment"]]));
        assert!(looks(&[
            ["question", "reply"],
            ["what is it", "a long cat"],
            ["who is there", "it is me"]
        ]));
    }

    #[test]
    fn examples_are_not_taken_for_names() {
        for rows in [
            &[
                ["a fine film", "positive"],
                ["so dull", "negative"],
                ["good one", "positive"],
            ][..],
            &[
                ["great", "positive"],
                ["so dull", "negative"],
                ["good one", "positive"],
                ["bad", "negative"],
            ],
            &[
                ["What a film!", "joy"],
                ["so dull", "sad"],
                ["no way", "sad"],
                ["bad one", "sad"],
            ],
            &[["great", "5"], ["so dull", "1"]],
            &[
                ["a house", "ein Haus"],
                ["a tree", "ein Baum"],
                ["the sea", "das Meer"],
            ],
        ] {
            assert!(!looks(rows), "{rows:?}");
        }
    }

    #[test]
    fn columns_that_are_skipped_do_not_count() {
        let rows: Vec<Vec<String>> = [["x9", "text", "label"], ["x9", "a b", "1"]]
            .map(|row| row.map(str::to_owned).to_vec())
            .to_vec();
        assert!(looks_like_header(&rows, &[1, 2]));
        assert!(!looks_like_header(&rows, &[0, 1]));
    }
}
