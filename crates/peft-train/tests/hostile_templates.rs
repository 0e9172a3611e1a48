//! Templates that are out for time, memory and the stack, each in its own way (tests/golden/hostile_templates.json): an error or a text, and
//! never a gigabyte.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::BTreeMap;
use std::path::Path;

use peak_alloc::PeakAlloc;
use peft_train::data::{ChatContext, ChatTemplate, TemplateSource};
use serde_json::json;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// MiB that one rendering may take.
const MOST: f32 = 950.0;

#[test]
fn none_takes_more_than_its_share_of_memory_or_ends_the_process() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hostile_templates.json");
    let text = std::fs::read_to_string(path).unwrap();
    let templates: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
    let messages = [
        json!({"role": "user", "content": "the film"}),
        json!({"role": "assistant", "content": "was good"}),
    ];
    let (mut refused, mut rendered) = (0, 0);
    for (name, text) in templates {
        let source = TemplateSource {
            path: format!("{name}.jinja").into(),
            text,
            with_tools: None,
        };
        let template = ChatTemplate::of(source, &serde_json::Map::new());
        MEMORY.reset_peak_usage();
        match template.render(&messages, &ChatContext::default(), true) {
            Ok(_) => rendered += 1,
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(&name), "{error}");
            }
        }
        let peak = MEMORY.peak_usage_as_mb();
        assert!(peak < MOST, "{name}: {peak} MiB");
    }
    assert!(refused > 100 && rendered > 5, "{refused} and {rendered}");
}
