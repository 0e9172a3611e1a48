//! How long `format` may make a text: templates come with models, and `%999999999d` is short.

use minijinja::{Error, State, Value};

use super::meter::{Meter, escapes, refused, text_of};

/// The widest field, and the most digits of a number.
const WIDTH: usize = 10_000;

/// Pays for a format and what it is given.
pub(in crate::data::chat) fn price(state: &mut State, given: &[Value]) -> Result<(), Error> {
    let mut largest = 0_usize;
    for value in given {
        largest = largest.max(Meter::of(state).deep(value)?);
    }
    let format = given.first().map(text_of).unwrap_or_default();
    let widths = given.iter().skip(1).filter_map(Value::as_usize).max();
    let given = widths.filter(|_| format.contains('*')).unwrap_or(0);
    let width = widest(format).max(given);
    if width > WIDTH {
        return Err(refused(format!(
            "the template formats fields wider than {WIDTH}"
        )));
    }
    let fields = format.matches(['%', '{']).count();
    // Signs between digits, and the two numbers of a field; 400 digits of a float.
    let field = largest.saturating_add(width + 400).saturating_mul(2);
    let bytes = fields.saturating_mul(field).saturating_add(format.len());
    let bytes = bytes.saturating_mul(escapes(state));
    Meter::of(state).text(bytes)
}

/// The largest number among the fields of a format.
fn widest(format: &str) -> usize {
    let fields = format
        .split(['%', '{', ':', '.', '*'])
        .skip(1)
        .map(|field| {
            let field =
                field.trim_start_matches(|sign: char| !sign.is_ascii_alphanumeric() && sign != '}');
            let end = field
                .find(|sign: char| !sign.is_ascii_digit())
                .unwrap_or(field.len());
            let digits = field.get(..end).unwrap_or("");
            if digits.is_empty() {
                0
            } else {
                digits.parse().unwrap_or(usize::MAX)
            }
        });
    fields.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_of_fields_are_found() {
        let cases = [
            ("%s 2024", 0),
            ("%-12s", 12),
            ("%05.300f", 300),
            ("{:>40}", 40),
            ("{0:_<7}", 7),
            ("{}", 0),
        ];
        for (format, width) in cases {
            assert_eq!(widest(format), width, "{format}");
        }
        assert_eq!(widest("%99999999999999999999d"), usize::MAX);
    }
}
