//! A chat template: parsed and rendered over a conversation with every kind of message.

use std::path::PathBuf;

use peft_train::data::{ChatContext, ChatTemplate, TemplateSource};
use serde_json::{Map, Value, json};

/// Does with the bytes what the program does with such a file.
///
/// # Panics
/// When one template renders one conversation to two texts: a finding.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let source = TemplateSource {
        path: PathBuf::from("chat_template.jinja"),
        text: text.to_owned(),
        with_tools: None,
    };
    let fields: Map<String, Value> = [
        ("bos_token".to_owned(), json!("<s>")),
        ("eos_token".to_owned(), json!({"content": "</s>"})),
    ]
    .into_iter()
    .collect();
    let template = ChatTemplate::of(source, &fields);
    let messages = [
        json!({"role": "system", "content": "Be brief."}),
        json!({"role": "user", "content": [{"type": "text", "text": "the film"}]}),
        json!({"role": "assistant", "content": null, "tool_calls": [
            {"type": "function", "function": {"name": "rate", "arguments": {"stars": 4}}}
        ]}),
        json!({"role": "tool", "name": "rate", "content": "done"}),
        json!({"role": "assistant", "content": "was good"}),
    ];
    let context = ChatContext::default();
    let _parts = template.takes_parts();
    for open in [false, true] {
        if let Ok(rendered) = template.render(&messages, &context, open) {
            let again = template.render(&messages, &context, open);
            assert_eq!(again.ok().as_deref(), Some(rendered.as_str()));
        }
    }
}
