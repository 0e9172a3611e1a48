//! Conversations in the forms that data sets have: `messages` with role and content, ShareGPT's `conversations` with from and value,
//! prompts and completions that are lists of messages; contents as texts or lists of parts; cells that hold JSON as text.

use serde_json::{Map, Value, json};

use super::problem::{kind, shorten};
use super::row_fault::RowFault;

/// What ShareGPT and its relatives call who speaks, and what chat templates call them.
const SPEAKERS: [(&str, &str); 16] = [
    ("human", "user"),
    ("user", "user"),
    ("prompter", "user"),
    ("gpt", "assistant"),
    ("assistant", "assistant"),
    ("model", "assistant"),
    ("bot", "assistant"),
    ("chatgpt", "assistant"),
    ("bing", "assistant"),
    ("bard", "assistant"),
    ("system", "system"),
    ("tool", "tool"),
    ("observation", "tool"),
    ("function_response", "tool"),
    ("function", "tool"),
    ("function_call", CALL),
];
/// The speaker whose value is a call of a tool.
const CALL: &str = "function_call";

/// A list of messages from a cell, each with `role` and `content`; contents that are lists of texts become one text unless the
/// template takes `parts`.
///
/// # Errors
/// What stands there instead.
pub(super) fn messages(column: &str, cell: &Value, parts: bool) -> Result<Vec<Value>, RowFault> {
    const EXPECTED: &str = "a list of messages, each with role and content (or from and value)";
    let wrong = |found: String| RowFault::WrongCell {
        column: column.to_owned(),
        expected: EXPECTED,
        found,
    };
    let list = match json_cell(cell) {
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(Value::Array(_)) | Some(Value::Null) | None if is_blank(cell) => {
            return Err(RowFault::EmptyCell {
                column: column.to_owned(),
                expected: EXPECTED,
            });
        }
        _ => return Err(wrong(described(cell))),
    };
    list.into_iter()
        .enumerate()
        .map(|(at, message)| {
            one(message, parts).map_err(|found| wrong(format!("{found} (message {})", at + 1)))
        })
        .collect()
}

/// Whether a cell is there and holds messages rather than a text.
pub(super) fn holds_messages(cell: &Value) -> bool {
    matches!(json_cell(cell), Some(Value::Array(list)) if list.first().is_some_and(Value::is_object))
}

/// A cell that holds a list or an object, or the same as JSON text; null where there is nothing.
///
/// # Errors
/// What stands there instead.
pub(super) fn structure(
    column: &str,
    cell: &Value,
    expected: &'static str,
) -> Result<Value, RowFault> {
    match json_cell(cell) {
        Some(value @ (Value::Array(_) | Value::Object(_))) => Ok(value),
        Some(Value::Null) | None if is_blank(cell) => Ok(Value::Null),
        _ => Err(RowFault::WrongCell {
            column: column.to_owned(),
            expected,
            found: described(cell),
        }),
    }
}

/// A message that says `text`.
pub(super) fn message(role: &str, text: &str) -> Value {
    json!({"role": role, "content": text})
}

/// The value of a cell; a text that is JSON counts as what it says.
fn json_cell(cell: &Value) -> Option<Value> {
    match cell {
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
            serde_json::from_str(text).ok()
        }
        Value::String(_) => None,
        other => Some(other.clone()),
    }
}

fn is_blank(cell: &Value) -> bool {
    match cell {
        Value::Null => true,
        Value::String(text) => matches!(text.trim(), "" | "null"),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn described(cell: &Value) -> String {
    match cell {
        Value::String(text) => format!("the text `{}`", shorten(text)),
        other => kind(other).to_owned(),
    }
}

/// One message with role and content, or what is wrong with it.
fn one(message: Value, parts: bool) -> Result<Value, String> {
    let Value::Object(mut fields) = message else {
        return Err(kind(&message).to_owned());
    };
    if !fields.contains_key("role")
        && let Some(from) = fields.shift_remove("from")
    {
        fields.shift_insert(0, "role".into(), from);
    }
    if !fields.contains_key("content")
        && let Some(value) = fields.shift_remove("value")
    {
        fields.insert("content".into(), value);
    }
    let Some(speaker) = fields
        .get("role")
        .and_then(Value::as_str)
        .map(str::to_owned)
    else {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        return Err(format!("a message with {}", names.join(", ")));
    };
    let known = SPEAKERS.iter().find(|(name, _)| *name == speaker);
    let role = known.map_or(speaker.as_str(), |(_, role)| *role);
    if role == CALL {
        let call = fields.shift_remove("content");
        fields.insert("role".into(), "assistant".into());
        fields.insert("content".into(), "".into());
        fields.insert("tool_calls".into(), calls(call.as_ref())?);
    } else {
        fields.insert("role".into(), role.into());
        flatten(&mut fields, parts)?;
    }
    Ok(Value::Object(fields))
}

/// Calls of tools from ShareGPT's text: an object with name and arguments, or a list of them.
fn calls(value: Option<&Value>) -> Result<Value, String> {
    let value = value.and_then(json_cell);
    let calls = match value {
        Some(Value::Array(calls)) => calls,
        Some(call @ Value::Object(_)) => vec![call],
        _ => return Err("a function_call without name and arguments in JSON".into()),
    };
    let call = |call: Value| match call["name"].is_string() {
        true => Ok(json!({"type": "function", "function": call})),
        false => Err("a function_call without a name".to_owned()),
    };
    calls.into_iter().map(call).collect()
}

/// Makes one text of a content that is a list of texts.
fn flatten(fields: &mut Map<String, Value>, parts: bool) -> Result<(), String> {
    let Some(content) = fields.get_mut("content") else {
        return match fields.contains_key("tool_calls") {
            true => Ok(()),
            false => Err("a message without content".into()),
        };
    };
    match content {
        Value::Array(list) => {
            let texts: Option<Vec<&str>> = list
                .iter()
                .map(|part| part.as_str().or_else(|| part.get("text")?.as_str()))
                .collect();
            let texts = texts.ok_or("a content with parts that are no texts, such as images")?;
            if !parts {
                *content = Value::from(texts.concat());
            }
            Ok(())
        }
        Value::String(_) | Value::Null => Ok(()),
        other => Err(format!("a content that is {}", kind(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cell: Value) -> Result<Value, String> {
        let found = messages("messages", &cell, false);
        found.map(Value::from).map_err(|fault| fault.to_string())
    }

    #[test]
    fn forms_of_other_tools_become_roles_and_contents() {
        let share = json!([{"from": "system", "value": "s"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 0}]);
        let plain = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "weight": 0}]);
        assert_eq!(read(share.clone()), Ok(plain.clone()));
        assert_eq!(read(plain.clone()), Ok(plain.clone()));
        assert_eq!(
            read(Value::from(share.to_string())),
            Ok(plain),
            "JSON as text, as tables hold it"
        );
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}]);
        assert_eq!(read(parts.clone()), Ok(json!([message("user", "a b")])));
        assert_eq!(
            messages("messages", &parts, true).map(Value::from),
            Ok(parts)
        );
    }

    #[test]
    fn calls_of_tools_in_sharegpt_are_calls() {
        let call = json!({"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"});
        let read = read(json!([call, {"from": "observation", "value": "3"}])).expect("messages");
        assert_eq!(read[0]["tool_calls"][0]["function"]["arguments"]["x"], 1);
        assert_eq!(
            (&read[0]["role"], &read[1]["role"]),
            (&json!("assistant"), &json!("tool"))
        );
        let broken = json!([{"from": "function_call", "value": "f(1)"}]);
        assert!(messages("conversations", &broken, false).is_err());
    }

    #[test]
    fn what_is_no_message_is_named() {
        for (cell, part) in [
            (json!("hello"), "the text `hello`"),
            (json!([]), "found nothing"),
            (json!(null), "found nothing"),
            (json!([{"text": "a"}]), "a message with text (message 1)"),
            (json!([message("user", "a"), 3]), "a number (message 2)"),
            (
                json!([{"role": "user", "content": [{"type": "image"}]}]),
                "such as images",
            ),
            (json!([{"role": "user"}]), "without content"),
        ] {
            let error = read(cell).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
        let tools = structure("tools", &json!("[{\"name\": \"f\"}]"), "a list");
        assert_eq!(tools, Ok(json!([{"name": "f"}])));
        assert_eq!(structure("tools", &json!(""), "a list"), Ok(Value::Null));
        assert!(structure("tools", &json!("f"), "a list").is_err());
    }
}
