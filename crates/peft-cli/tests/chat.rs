//! `peft chat`: a turn for each line, with what was said before.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use assert_cmd::Command;
use binary::tiny_llama::{Place, TRAIN};
use serde_json::Value;

/// The turns of a conversation, and what was said on stderr.
fn turns(place: &Place, rest: &str, lines: &str) -> (Vec<Value>, String) {
    let mut command = Command::cargo_bin("peft").unwrap();
    let model = place.path("model");
    command.args(["chat", "--model", &model, "--json", "--max-new-tokens", "6"]);
    let rest = rest.split_whitespace().map(|word| {
        let (before, name) = word.split_once('@').unwrap_or((word, ""));
        match name {
            "" => word.to_owned(),
            name => format!("{before}{}", place.path(name)),
        }
    });
    let output = command.args(rest).write_stdin(lines).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let turns = String::from_utf8(output.stdout).unwrap();
    let turns = turns
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (turns.collect(), said)
}

#[test]
fn a_conversation_goes_on_and_begins_anew() {
    let place = Place::new();
    let (both, _) = turns(&place, "", "the film\n\nwas good\n");
    assert_eq!(both.len(), 2);
    let alone = place.run("generate --chat --model @model --prompt the --max-new-tokens 6");
    let (first, _) = turns(&place, "", "the\n");
    assert_eq!(first[0]["answer"], alone["answers"][0]["answer"]);
    // What was said is there, whether its keys and values were kept or it is read again.
    let (again, said) = turns(
        &place,
        "",
        "the film\n/adapter base\nwas good\n/exit\nmore\n",
    );
    assert!(said.contains("base answers from now on"), "{said}");
    for turn in 0..2 {
        for field in ["answer", "tokens", "prompt_tokens", "user"] {
            assert_eq!(
                again[turn][field], both[turn][field],
                "turn {turn}, {field}"
            );
        }
    }
    assert_eq!(again.len(), 2);
    let (anew, _) = turns(&place, "", "the film\n/new\nwas good\n");
    let length = |turn: &Value| turn["prompt_tokens"].as_u64().unwrap();
    assert!(length(&anew[1]) < length(&both[1]));
    let (system, _) = turns(&place, "--system brief", "was good\n");
    assert!(length(&system[0]) > length(&anew[1]));
}

#[test]
fn adapters_answer_by_name_and_a_script_hears_of_mistakes() {
    let place = Place::new();
    place.run(&format!("{TRAIN} --model @model --out @run"));
    let lines = "the film\n/adapters\n/new\n/adapter base\nthe film\n";
    let (found, said) = turns(&place, "--adapter mine=@run", lines);
    assert!(said.contains("base, mine"), "{said}");
    assert_eq!(
        (&found[0]["adapter"], &found[1]["adapter"]),
        (&"mine".into(), &"base".into())
    );
    let (plain, _) = turns(&place, "", "the film\n");
    assert_eq!(found[1]["answer"], plain[0]["answer"]);
    for (line, expected) in [
        ("/adapter other\n", "`base` or one of: mine"),
        ("/nothing\n", "no such command"),
    ] {
        let mut command = Command::cargo_bin("peft").unwrap();
        let (model, run) = (place.path("model"), format!("mine={}", place.path("run")));
        command.args(["chat", "--model", &model, "--adapter", &run]);
        let output = command.write_stdin(line).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(expected),
            "{said}"
        );
    }
}
