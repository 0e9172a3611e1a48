//! A part of the training data is held out, to choose learning rates by.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Every fifth line of the training data is held out to choose the learning rate by; of plain text, whose lines belong together, the last
/// fifth.
pub(super) fn split(file: &Path, folder: &Path) -> anyhow::Result<[PathBuf; 2]> {
    std::fs::create_dir_all(folder)?;
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let kind = file.extension().unwrap_or_default();
    let places = ["part", "held-out"].map(|name| folder.join(name).with_extension(kind));
    let records = records(&text, kind == "csv");
    let is_held_out = |at: usize| match kind == "txt" {
        true => 5 * at >= 4 * records.len(),
        false => at % 5 == 4,
    };
    for (held_out, place) in places.iter().enumerate() {
        let lines: String = records
            .iter()
            .enumerate()
            .filter(|(at, _)| is_held_out(*at) == (held_out == 1))
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        ensure!(!lines.is_empty(), "{} has too few lines", file.display());
        std::fs::write(place, lines)?;
    }
    Ok(places)
}

/// The lines of a file; of a quoted one the rows, which may go over several lines.
fn records(text: &str, quoted: bool) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match records.last_mut() {
            Some(last) if open => {
                last.push('\n');
                last.push_str(line);
            }
            _ => records.push(line.to_owned()),
        }
        open ^= quoted && line.matches('"').count() % 2 == 1;
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_in_quotes_may_go_over_lines() {
        let text = "a,\"b\nc\",d\ne,\"\"f\"\",g\n";
        assert_eq!(records(text, true), ["a,\"b\nc\",d", "e,\"\"f\"\",g"]);
        assert_eq!(records(text, false).len(), 3);
    }

    #[test]
    fn a_fifth_of_the_lines_is_held_out_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("all.tsv");
        let all: Vec<String> = (0..23).map(|line| format!("line {line}")).collect();
        std::fs::write(&file, all.join("\n")).unwrap();
        let [part, held_out] = split(&file, dir.path()).unwrap();
        let lines = |path: &Path| -> Vec<String> {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().map(str::to_owned).collect()
        };
        assert_eq!(lines(&held_out), ["line 4", "line 9", "line 14", "line 19"]);
        let text = dir.path().join("all.txt");
        std::fs::copy(&file, &text).unwrap();
        let [start, end] = split(&text, dir.path()).unwrap();
        assert_eq!(lines(&start), all[..19]);
        assert_eq!(lines(&end), all[19..]);
        let mut joined = [lines(&part), lines(&held_out)].concat();
        joined.sort();
        let mut expected = all;
        expected.sort();
        assert_eq!(joined, expected);
    }
}
