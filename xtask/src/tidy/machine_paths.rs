//! No path of somebody's machine in what is committed.

use super::Finding;

/// First folders of absolute paths that differ from machine to machine.
const FOLDERS: [&str; 6] = ["work", "root", "home", "tmp", "Users", "farm"];
/// Vocabularies contain every string there is.
const DATA: [&str; 3] = ["tokenizer.json", "vocab.json", "vocab.txt"];

/// Finds absolute paths such as a home folder.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    if DATA.iter().any(|name| path.ends_with(name)) {
        return Vec::new();
    }
    let numbered = text.lines().enumerate();
    numbered
        .filter_map(|(index, line)| {
            let folder = machine_folder(line)?;
            let message = format!("absolute path `/{folder}`: use a relative path or a variable");
            Some(Finding::new(path, index + 1, message))
        })
        .collect()
}

/// The folder when the line holds an absolute path below one of [`FOLDERS`].
fn machine_folder(line: &str) -> Option<&'static str> {
    line.match_indices('/').find_map(|(place, _)| {
        let starts = !line[..place].ends_with(|before: char| {
            before.is_alphanumeric()
                || matches!(before, '.' | '/' | '_' | '-' | '~' | '}' | ')' | '*')
        });
        let rest = &line[place + 1..];
        FOLDERS.into_iter().find(|folder| {
            let after = rest.strip_prefix(folder).map(|after| after.chars().next());
            starts
                && matches!(
                    after,
                    Some(None | Some('/' | '"' | '\'' | '`' | ' ' | ')' | ','))
                )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_paths_are_found_with_their_line() {
        for folder in FOLDERS {
            let text = format!("ok\nopen(\"/{folder}/model\")\n");
            let findings = check("docs/a.md", &text);
            assert_eq!(findings.len(), 1, "{folder}");
            assert_eq!(findings[0].line, 2);
            assert_eq!(check("docs/a.md", &format!("--out /{folder}")).len(), 1);
        }
    }

    #[test]
    fn relative_paths_and_addresses_pass() {
        let fine = [
            "target/tmp/x".to_owned(),
            "../work/x".to_owned(),
            "https://example.org/home/x".to_owned(),
            "and/or, $HOME/x, /tmpfile, /homes".to_owned(),
        ];
        for line in fine {
            assert!(check("docs/a.md", &line).is_empty(), "{line}");
        }
    }

    #[test]
    fn vocabularies_are_data() {
        assert!(check("fixtures/tokenizer.json", &format!("\"/{}\"", "home")).is_empty());
    }
}
