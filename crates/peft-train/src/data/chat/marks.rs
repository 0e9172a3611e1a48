//! Marks in messages and templates by which something is found again in a rendered text.
//!
//! They are noncharacters of Unicode, which no text should hold; messages that hold one all the same are refused.

use std::ops::Range;

use serde_json::Value;

/// Begins what a template says to be learnt.
const BEGIN: char = '\u{fdd0}';
/// Ends what a template says to be learnt.
const END: char = '\u{fdd1}';
/// Stands in a message that is to be found.
const HERE: char = '\u{fdd2}';

/// A text as a template wrote it, without the marks, and where they were.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) text: String,
    /// Bytes that the template says to be learnt.
    pub(super) generated: Vec<Range<usize>>,
    /// From the first to the last mark of a message.
    pub(super) here: Option<Range<usize>>,
}

impl Marked {
    pub(super) fn read(text: &str) -> Self {
        let mut marked = Self::default();
        let mut begun = Vec::new();
        for sign in text.chars() {
            let at = marked.text.len();
            match sign {
                BEGIN => begun.push(at),
                END => marked.generated.extend(begun.pop().map(|begin| begin..at)),
                HERE => marked.here = Some(marked.here.map_or(at, |here| here.start)..at),
                sign => marked.text.push(sign),
            }
        }
        marked.generated.retain(|range| !range.is_empty());
        marked
    }
}

/// A text that a template says to be learnt.
#[cfg(any(test, feature = "chat"))]
pub(super) fn generated(text: &str) -> String {
    format!("{BEGIN}{text}{END}")
}

/// Whether a value holds a mark already.
pub(super) fn holds_mark(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains([BEGIN, END, HERE]),
        Value::Array(items) => items.iter().any(holds_mark),
        Value::Object(fields) => fields.values().any(holds_mark),
        _ => false,
    }
}

/// Where marks stand in the lines of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// At both ends of each line.
    Around,
    /// At the ends alone, for templates that look at how a message begins.
    Behind,
    /// Around the last line alone, for templates that drop what comes before.
    Last,
}

/// The same message with marks in what is said: its content, its thoughts and its calls of tools.
pub(super) fn with_marks(message: &Value, place: Where) -> Value {
    let mut marked = message.clone();
    for name in std::iter::once("content").chain(super::THOUGHTS) {
        if let Some(value) = marked.get_mut(name) {
            mark(value, place);
        }
    }
    for call in marked
        .get_mut("tool_calls")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        for name in ["name", "arguments"] {
            if let Some(value) = call.get_mut(name) {
                mark(value, place);
            }
            if let Some(value) = call
                .get_mut("function")
                .and_then(|function| function.get_mut(name))
            {
                mark(value, place);
            }
        }
    }
    marked
}

fn mark(value: &mut Value, place: Where) {
    match value {
        Value::String(text) if text.is_empty() => text.push(HERE),
        Value::String(text) => {
            let last = text.trim_end().matches('\n').count();
            let lines = text.split('\n').enumerate().map(|(at, line)| match place {
                Where::Last if at != last => line.to_owned(),
                _ => marked_line(line, place),
            });
            *text = lines.collect::<Vec<_>>().join("\n");
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mark(item, place)),
        Value::Object(fields) => {
            let said = fields.iter_mut().filter(|(name, _)| *name != "type");
            said.for_each(|(_, value)| mark(value, place));
        }
        _ => {}
    }
}

/// Marks stand inside of white space, which templates trim.
fn marked_line(line: &str, place: Where) -> String {
    let said = line.trim();
    if said.is_empty() {
        return line.to_owned();
    }
    let start = line.len() - line.trim_start().len();
    let (before, after) = (&line[..start], &line[start + said.len()..]);
    match place {
        Where::Around | Where::Last => format!("{before}{HERE}{said}{HERE}{after}"),
        Where::Behind => format!("{before}{said}{HERE}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marks_are_found_and_leave_the_text() {
        let text = format!("a{}é{}", generated("b c"), generated(""));
        let marked = Marked::read(&text);
        assert_eq!(marked.text, "ab cé");
        assert_eq!(marked.generated, vec![1..4]);
        let message = json!({"content": " b\n\nc ", "tool_calls": [{"function": {"name": "f", "arguments": {"x": "y"}}}]});
        let there = with_marks(&message, Where::Around);
        assert!(holds_mark(&there) && !holds_mark(&message));
        let marked = Marked::read(there["content"].as_str().unwrap_or_default());
        assert_eq!(
            (marked.text.as_str(), marked.here),
            (" b\n\nc ", Some(1..5))
        );
        let call = &there["tool_calls"][0]["function"];
        assert_eq!(call["arguments"]["x"], format!("{HERE}y{HERE}"));
        assert_eq!(with_marks(&json!("x"), Where::Behind), json!("x"));
    }
}
