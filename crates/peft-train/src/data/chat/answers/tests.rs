//! Answers found in whole conversations, by templates that render beginnings otherwise.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::super::ChatContext;
use super::*;

/// ChatML.
const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

fn template(source: &str) -> ChatTemplate {
    let fields = json!({"bos_token": "<s>", "eos_token": "</s>"});
    let fields: Map<String, Value> = serde_json::from_value(fields).expect("an object");
    ChatTemplate::new(PathBuf::from("template"), source.into(), &fields)
}

fn says(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

/// What is learnt of a conversation, as texts.
fn learnt(source: &str, messages: &[Value]) -> Vec<String> {
    let found = template(source)
        .conversation(messages, &ChatContext::default())
        .expect("a conversation");
    assert_eq!(found.not_found, 0, "{}", found.text);
    found
        .learnt
        .iter()
        .map(|range| found.text[range.clone()].to_owned())
        .collect()
}

fn turns() -> Vec<Value> {
    vec![
        says("user", "Hi."),
        says("assistant", " One\ntwo "),
        says("user", "One"),
        says("assistant", "Three"),
    ]
}

#[test]
fn answers_of_a_plain_template_are_learnt_with_the_end_of_their_turn() {
    let expected = [" One\ntwo <|im_end|>\n", "Three<|im_end|>\n"];
    assert_eq!(learnt(CHATML, &turns()), expected);
    let greeting = &turns()[1..];
    assert_eq!(learnt(CHATML, greeting), expected);
}

#[test]
fn a_template_that_writes_into_the_last_answer_alone_loses_none_before() {
    let think = CHATML.replace("m.role + '\n' + m.content", "m.role + '\n' + ('<think>\n\n</think>\n\n' if loop.last and m.role == 'assistant' else '') + m.content");
    assert_ne!(think, CHATML);
    let expected = [
        " One\ntwo <|im_end|>\n",
        "<think>\n\n</think>\n\nThree<|im_end|>\n",
    ];
    assert_eq!(learnt(&think, &turns()), expected);
}

#[test]
fn thoughts_that_a_template_drops_from_earlier_answers_do_not_hide_them() {
    let source = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' and not loop.last %}\
                  {{ m.content.split('</think>')[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}[/]{% endfor %}\
                  {% if add_generation_prompt %}[assistant]{% endif %}";
    let thought = says("assistant", "<think>\nwhat?\n</think>\n\nOne");
    let messages = [
        says("user", "a"),
        thought.clone(),
        says("user", "b"),
        thought,
    ];
    assert_eq!(
        learnt(source, &messages),
        ["One[/]", "<think>\nwhat?\n</think>\n\nOne[/]"]
    );
}

#[test]
fn a_template_that_ends_the_text_once_gives_every_answer_its_own_end() {
    let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}\
                  {% if add_generation_prompt %}<|assistant|>{% else %}<|endoftext|>{% endif %}";
    let expected = [" One\ntwo <|end|>\n", "Three<|end|>\n<|endoftext|>"];
    assert_eq!(learnt(source, &turns()), expected);
}

#[test]
fn a_greeting_is_learnt_where_nothing_cannot_be_rendered() {
    let source = format!(
        "{{% if messages[0].role != 'system' %}}<|im_start|>system\nHelp.<|im_end|>\n{{% endif %}}{CHATML}"
    );
    let messages = [
        says("assistant", "Hello"),
        says("user", "One"),
        says("assistant", "Two"),
    ];
    assert_eq!(
        learnt(&source, &messages),
        ["Hello<|im_end|>\n", "Two<|im_end|>\n"]
    );
}

#[test]
fn a_system_message_in_the_last_user_turn_hides_no_answer() {
    let source = "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}\
                  {% else %}{% set system = '' %}{% set turns = messages %}{% endif %}{{ bos_token }}{% for m in turns %}\
                  {% if m.role == 'user' %}[INST]{{ system + ' ' if loop.last and system else '' }}{{ m.content }}[/INST]\
                  {% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}";
    let messages = [vec![says("system", "Be brief.")], turns()].concat();
    assert_eq!(learnt(source, &messages), ["One\ntwo </s>", "Three</s>"]);
}

#[test]
fn the_templates_own_marks_decide() {
    let source = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}\
                  {{ '\n' }}{% else %}{{ m.content }}{% endif %}{% endfor %}";
    assert_eq!(learnt(source, &turns()), [" One\ntwo ", "Three"]);
    let mut messages = turns();
    messages[1]["train"] = false.into();
    assert_eq!(learnt(source, &messages), ["Three"]);
}

#[test]
fn weights_say_what_is_learnt_and_nothing_else_is_a_weight() {
    let mut messages = turns();
    messages[1]["weight"] = 0.into();
    messages[3]["weight"] = 1.0.into();
    assert_eq!(learnt(CHATML, &messages), ["Three<|im_end|>\n"]);
    messages[3]["weight"] = 0.5.into();
    let error = template(CHATML).conversation(&messages, &ChatContext::default());
    assert!(error.is_err_and(|error| error.to_string().contains("0.5")));
}

#[test]
fn calls_of_tools_are_answers_and_what_cannot_be_found_is_counted() {
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}\
                  {{ '!' if loop.last else '.' }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": "y"}}}]});
    let messages = [
        says("user", "a"),
        call.clone(),
        says("tool", "1"),
        says("assistant", "b"),
    ];
    let expected = [r#"{"name": "f", "arguments": {"x": "y"}}"#, "b!"];
    assert_eq!(learnt(source, &messages), expected);
    let silent = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}{{ messages | length }}";
    let found = template(silent)
        .conversation(&messages, &ChatContext::default())
        .expect("a text");
    assert_eq!(
        (found.learnt.len(), found.not_found),
        (0, 2),
        "{}",
        found.text
    );
}

#[test]
fn templates_that_never_end_or_grow_are_stopped() {
    let endless = "{% for i in range(10000) %}{% for j in range(10000) %}{% for k in range(10000) %}{% endfor %}{% endfor %}{% endfor %}";
    let deep = format!("{{{{ {}1 }}}}", "not ".repeat(3000));
    let wide = "{{ 'a\nb' | indent(9999999999) }}";
    let long = "{% for i in range(9000) %}{% for i in range(900) %}{{ '-' * 100 }}0123456789012345678901234567890123456789{% endfor %}{% endfor %}";
    for source in [endless, &deep, wide, long] {
        let outcome = template(source).render(&turns(), &ChatContext::default(), false);
        let known = outcome.as_ref().is_ok_and(|text| text.len() < 100);
        assert!(outcome.is_err() || known, "{}", &source[..40]);
    }
}

#[test]
fn messages_with_marks_of_our_own_are_refused() {
    let messages = [says("user", "a\u{fdd0}"), says("assistant", "b")];
    let error = template(CHATML).conversation(&messages, &ChatContext::default());
    assert!(error.is_err_and(|error| error.to_string().contains("U+FDD0")));
}
