//! Problems that are the same at many tensors or layers, said once for all of them.

use std::fmt::{Display, Write};

use indexmap::IndexMap;

/// Names that are shown of a kind.
const SHOWN: usize = 3;

/// What stands at many places: the same complaint, and where.
#[derive(Debug, Default)]
struct Kind<'a> {
    places: usize,
    /// Names with `*` for their numbers, each once.
    names: Vec<String>,
    /// The first line, which is said as it is where there is no other.
    line: &'a str,
}

/// Several things in one line.
pub(crate) fn joined<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join("; ")
}

/// Lines that begin with a name in backquotes, `` `name` complaint``, with one line for each complaint; other lines stay as they are.
#[must_use]
pub fn grouped(problems: &[String]) -> Vec<String> {
    let mut kinds: IndexMap<&str, Kind<'_>> = IndexMap::new();
    for line in problems {
        let (name, complaint) = split(line);
        let kind = kinds.entry(complaint).or_insert_with(|| Kind {
            line,
            ..Kind::default()
        });
        kind.places += 1;
        let name = without_numbers(name);
        if !kind.names.contains(&name) {
            kind.names.push(name);
        }
    }
    let mut lines: Vec<String> = size_of_another(problems).into_iter().collect();
    for (complaint, kind) in kinds {
        if kind.places == 1 {
            lines.push(kind.line.to_owned());
            continue;
        }
        let shown: Vec<String> = (kind.names.iter().take(SHOWN))
            .map(|name| format!("`{name}`"))
            .collect();
        let more = kind.names.len() - shown.len();
        let mut line = format!("{} places, {}", kind.places, shown.join(", "));
        if more > 0 {
            let _infallible = write!(line, " and {more} other names");
        }
        lines.push(format!("{line}{complaint}"));
    }
    lines
}

/// The name at the beginning of a line, and the rest.
fn split(line: &str) -> (&str, &str) {
    let name = line.strip_prefix('`').and_then(|rest| rest.split_once('`'));
    name.unwrap_or(("", line))
}

/// `model.layers.*.q_proj` for `model.layers.12.q_proj`.
fn without_numbers(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name
        .split('.')
        .map(|part| if is_number(part) { "*" } else { part })
        .collect();
    parts.join(".")
}

/// Where most tensors have one size in place of another one, that of another model: said first, because it explains the rest.
fn size_of_another(problems: &[String]) -> Option<String> {
    const FEW: usize = 3;
    let mut pairs: IndexMap<(usize, usize), usize> = IndexMap::new();
    let mut shaped = 0;
    for line in problems {
        let Some((expected, found)) = shapes(line) else {
            continue;
        };
        shaped += 1;
        let differing = expected
            .iter()
            .zip(&found)
            .filter(|(left, right)| left != right);
        for (left, right) in differing {
            *pairs.entry((*left, *right)).or_default() += 1;
        }
    }
    let ((model, adapter), count) = pairs.into_iter().max_by_key(|(_, count)| *count)?;
    (count > FEW && 2 * count > shaped).then(|| {
        format!(
            "it was made for a model of another size: {adapter} where this one has {model}, in {count} of {shaped} tensors"
        )
    })
}

/// The shapes in `.. expected [a, b], found [c, d]`, if they have as many dimensions.
fn shapes(line: &str) -> Option<(Vec<usize>, Vec<usize>)> {
    let shape = |after: &str| -> Option<Vec<usize>> {
        let (_, rest) = line.split_once(after)?;
        let (inside, _) = rest.split_once(']')?;
        inside.split(", ").map(|size| size.parse().ok()).collect()
    };
    let (expected, found) = (shape("expected [")?, shape("found [")?);
    (expected.len() == found.len()).then_some((expected, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn misfit(layers: usize) -> Vec<String> {
        let line = |at: usize, name: &str| {
            let shapes = match name {
                "A" => "expected [8, 32], found [8, 2048]",
                _ => "expected [32, 8], found [2048, 8]",
            };
            format!("`model.layers.{at}.self_attn.q_proj.lora_{name}.weight`: {shapes}")
        };
        (0..layers)
            .flat_map(|at| ["A", "B"].map(|name| line(at, name)))
            .collect()
    }

    #[test]
    fn a_complaint_about_many_layers_is_one_line_and_the_other_size_stands_first() {
        assert_eq!(
            grouped(&misfit(22)),
            [
                "it was made for a model of another size: 2048 where this one has 32, in 44 of 44 tensors",
                "22 places, `model.layers.*.self_attn.q_proj.lora_A.weight`: expected [8, 32], found [8, 2048]",
                "22 places, `model.layers.*.self_attn.q_proj.lora_B.weight`: expected [32, 8], found [2048, 8]",
            ]
        );
    }

    #[test]
    fn what_is_said_once_stays_as_it_is() {
        let lines: Vec<String> = [
            "alpha: 4 here, 16 there",
            "`a.0.q`: missing",
            "`v`: not expected",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(grouped(&lines), lines);
        assert_eq!(grouped(&misfit(1)), misfit(1));
    }

    #[test]
    fn of_many_names_a_few_are_shown() {
        let lines = ["a", "b", "c", "d", "e"].map(|name| format!("`x.{name}`: missing"));
        assert_eq!(
            grouped(&lines),
            ["5 places, `x.a`, `x.b`, `x.c` and 2 other names: missing"]
        );
    }
}
