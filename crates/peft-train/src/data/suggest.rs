//! What to type when the columns of a file have names of their own.

/// Names that people give to texts and to labels.
const TEXTS: [&str; 14] = [
    "text",
    "review",
    "sentence",
    "comment",
    "content",
    "message",
    "body",
    "tweet",
    "utterance",
    "question",
    "query",
    "document",
    "title",
    "string",
];
const LABELS: [&str; 13] = [
    "label",
    "sentiment",
    "category",
    "class",
    "target",
    "intent",
    "topic",
    "stars",
    "rating",
    "score",
    "gold",
    "quality",
    "type",
];

/// The flag that names the columns of a file for a task that wants some of `wanted`, with a guess at which of `found` they are.
pub(crate) fn columns_flag(wanted: &[String], found: &[String]) -> String {
    let wants = |name: &str| wanted.iter().any(|wanted| wanted == name);
    let pairs: Vec<String> = [("text", &TEXTS[..]), ("label", &LABELS[..])]
        .into_iter()
        .filter(|(name, _)| wants(name))
        .map(|(name, usual)| format!("{name}={}", guess(usual, found)))
        .collect();
    match (pairs.as_slice(), wanted.first()) {
        ([], Some(first)) => format!("--columns {first}=COLUMN"),
        ([], None) => "--columns NAME=COLUMN".to_owned(),
        (pairs, _) => format!("--columns {}", pairs.join(",")),
    }
}

/// The first column whose name has a usual word in it.
fn guess(usual: &[&str], found: &[String]) -> String {
    let lower = |name: &String| name.trim().to_ascii_lowercase();
    let whole = found
        .iter()
        .find(|name| usual.contains(&lower(name).as_str()));
    let part = || {
        let has = |name: &&String| usual.iter().any(|word| lower(name).contains(word));
        found.iter().find(has)
    };
    whole
        .or_else(part)
        .map_or_else(|| "COLUMN".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(wanted: &[&str], found: &[&str]) -> String {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        columns_flag(&owned(wanted), &owned(found))
    }

    #[test]
    fn the_flag_names_the_likely_columns() {
        let usual = ["text", "sentence1", "label"];
        assert_eq!(
            flag(&usual, &["id", "Review", "sentiment"]),
            "--columns text=Review,label=sentiment"
        );
        assert_eq!(
            flag(&usual, &["review_body", "star_rating"]),
            "--columns text=review_body,label=star_rating"
        );
        assert_eq!(
            flag(&["label", "score"], &["text", "y"]),
            "--columns label=COLUMN"
        );
        assert_eq!(
            flag(&["sentence2"], &["sentence1", "b"]),
            "--columns sentence2=COLUMN"
        );
    }
}
