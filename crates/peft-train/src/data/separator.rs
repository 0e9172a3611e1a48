//! Which character stands between the cells of a file, found out from its first rows.

/// Characters that stand between cells in files that people have; the most usual first.
const CANDIDATES: [char; 4] = [',', '\t', ';', '|'];
/// How much of a file is looked at.
const LOOKED_AT: usize = 100;
/// The share of rows that must have as many cells as the first one.
const ALIKE: f64 = 0.9;

/// The separator of `text`: `usual`, unless its rows fall apart by it and do not by another one.
pub(super) fn separator(text: &str, usual: char) -> char {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(LOOKED_AT)
        .collect();
    let first = |separator| {
        lines
            .first()
            .map_or(0, |line| line.matches(separator).count())
    };
    if usual == ',' && first('\t') > first(',') {
        return '\t';
    }
    if evenness(&lines, usual) >= ALIKE {
        return usual;
    }
    let mut best = (usual, 0.0);
    for other in CANDIDATES.into_iter().filter(|other| *other != usual) {
        let even = evenness(&lines, other);
        if even >= ALIKE && even > best.1 {
            best = (other, even);
        }
    }
    best.0
}

/// The separator that the first line of a spreadsheet's export may name, `sep=;`, and where the rows begin.
pub(super) fn named(text: &str) -> Option<(char, usize)> {
    let line = text.lines().next()?;
    let mut rest = line.trim_end().strip_prefix("sep=")?.chars();
    let (separator, end) = (rest.next()?, rest.next());
    let next = text.find('\n')? + 1;
    (end.is_none() && separator.is_ascii()).then_some((separator, next))
}

/// The share of lines with as many separators as the first one; 0 when that has none. Separators inside quotes do not count, where the
/// lines are more even without them.
fn evenness(lines: &[&str], separator: char) -> f64 {
    let plain: Vec<usize> = lines
        .iter()
        .map(|line| line.matches(separator).count())
        .collect();
    let quoted: Vec<usize> = lines
        .iter()
        .map(|line| outside_quotes(line, separator))
        .collect();
    share_of_first(&plain).max(share_of_first(&quoted))
}

fn share_of_first(counts: &[usize]) -> f64 {
    match counts.first() {
        None | Some(0) => 0.0,
        Some(first) => {
            let alike = counts.iter().filter(|count| *count == first).count();
            alike as f64 / counts.len() as f64
        }
    }
}

fn outside_quotes(line: &str, separator: char) -> usize {
    let mut inside = false;
    let mut count = 0;
    for c in line.chars() {
        match c {
            '"' => inside = !inside,
            _ if c == separator && !inside => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_separator_stays_where_rows_are_even_by_it() {
        assert_eq!(separator("a,b;c\nd,e\nf,g;h;i\n", ','), ',');
        assert_eq!(
            separator("text,label\n\"x; y, z\",1\n\"x; y\",0\n", ','),
            ','
        );
        assert_eq!(separator("one column\nhello; world\n", ','), ',');
        assert_eq!(separator("", '\t'), '\t');
    }

    #[test]
    fn another_one_is_taken_where_rows_fall_apart_by_the_usual_one() {
        assert_eq!(separator("text;label\na, b, c;1\nd;0\n", ','), ';');
        assert_eq!(separator("0.5\ta, b\tc\n1\td\te\n", ','), '\t');
        assert_eq!(separator("text|label\nno|1\n", '\t'), '|');
        assert_eq!(separator("text,label\nno,1\n", '\t'), ',');
        let prose = "I like it, really;pos\nwell;neg\nno, no, no;neg\nfine;pos\n";
        assert_eq!(separator(prose, ','), ';');
    }

    #[test]
    fn a_spreadsheet_may_name_it() {
        assert_eq!(named("sep=;\r\ntext;label\n"), Some((';', 7)));
        assert_eq!(named("sep=;;\na\n"), None);
        assert_eq!(named("text,label\n"), None);
    }
}
