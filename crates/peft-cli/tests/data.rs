//! The account of a run's data: before training, in the results, from `peft data` and `peft eval`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::decoder::Place;
use binary::{failure, json, peft, stdout};
use serde_json::{Value, json as value};

/// ChatML, with the tokenizer's own words.
const TEMPLATE: &str = "{% for m in messages %}{{ '[CLS] ' + m.role + ' ' + m.content + ' [SEP]' }}{% endfor %}\
                        {% if add_generation_prompt %}{{ '[CLS] assistant ' }}{% endif %}";

/// A place whose model has a chat template, and a file of conversations: one short, one with a long answer, one with a long prompt.
fn chats() -> (Place, String) {
    let place = Place::new();
    std::fs::write(place.path("model/chat_template.jinja"), TEMPLATE).unwrap();
    let said = |asked: &str, answer: &str| value!({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], "id": 1});
    let long = "the film was good and ".repeat(20);
    let lines = [
        said("the film", "was good"),
        said("the film", &long),
        said(&long, "was good"),
    ];
    let path = place.path("chats.jsonl");
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    std::fs::write(&path, text.join("\n")).unwrap();
    (place, path)
}

fn data(place: &Place, train: &str, more: &[&str]) -> Vec<String> {
    let model = place.path("model");
    let fixed = [
        "data",
        "--task",
        "causal-lm",
        "--model",
        &model,
        "--train",
        train,
    ];
    [&fixed[..], more]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// What `peft data` says of the conversations in rows of 20 tokens.
fn account(place: &Place, chats: &str) -> Value {
    let args = data(place, chats, &["--max-length", "20"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    json(&args)
}

#[test]
fn what_is_read_dropped_cut_and_learnt_is_counted() {
    let (place, chats) = chats();
    let shown = account(&place, &chats);
    let account = &shown["train"];
    assert_eq!(
        (&account["rows"], &account["examples"]),
        (&value!(3), &value!(2))
    );
    assert_eq!(account["dropped"][0]["count"], 1);
    assert!(
        account["dropped"][0]["places"][0]
            .as_str()
            .unwrap()
            .starts_with("line 3 ("),
        "{account}"
    );
    let tokens = &account["tokens"];
    assert_eq!(
        (&tokens["cut_rows"], &tokens["max_length"]),
        (&value!(1), &value!(20))
    );
    assert!(tokens["learnt"].as_u64().unwrap() < tokens["kept"].as_u64().unwrap());
    assert_eq!(account["unused_columns"], value!(["id"]));
}

#[test]
fn training_and_scoring_say_the_same_of_the_data_and_keep_it() {
    let (place, chats) = chats();
    let shown = account(&place, &chats);
    let (model, out) = (place.path("model"), place.path("out"));
    let fixed = [
        "train",
        "--task",
        "causal-lm",
        "--model",
        &model,
        "--train",
        &chats,
        "--out",
        &out,
        "--targets",
        "all-linear",
    ];
    let output = peft(&[&fixed[..], &["--max-length", "20", "--max-steps", "1"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    for part in [
        "3 rows read, 1 dropped, 2 examples",
        "--max-length",
        "1 rows are cut",
        "line 3 (",
        "columns not used: id",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let results: Value =
        serde_json::from_slice(&std::fs::read(place.path("out/results.json")).unwrap()).unwrap();
    assert_eq!(results["data"], shown);
    let scored = json(&[
        "eval",
        "--task",
        "causal-lm",
        "--model",
        &model,
        "--data",
        &chats,
        "--max-length",
        "20",
    ]);
    assert_eq!(scored["data"]["tokens"], shown["train"]["tokens"]);
}

#[test]
fn without_a_length_nothing_is_cut_that_the_model_takes() {
    let place = Place::new();
    let path = place.path("texts.jsonl");
    let text = |words: usize| {
        value!({"prompt": "the film ", "completion": "good ".repeat(words)}).to_string()
    };
    std::fs::write(&path, [text(3), text(50)].join("\n")).unwrap();
    let args = data(&place, &path, &[]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let tokens = &json(&args)["train"]["tokens"];
    assert_eq!(tokens["cut_rows"], 0);
    assert!(
        tokens["longest"].as_u64().unwrap() > 50 && tokens["max_length"] == tokens["longest"],
        "{tokens}"
    );
    std::fs::write(&path, [text(3), text(90)].join("\n")).unwrap();
    let tokens = &json(&args)["train"]["tokens"];
    assert_eq!(
        (&tokens["cut_rows"], &tokens["max_length"]),
        (&value!(1), &value!(64)),
        "the model takes 64"
    );
    std::fs::write(
        &path,
        value!({"prompt": "the film ".repeat(90), "completion": "good"}).to_string(),
    )
    .unwrap();
    let (code, error) = failure(&args);
    assert!(
        code == 1 && error.contains("line 1 (") && error.contains("--max-length"),
        "{error}"
    );
}

#[test]
fn rows_are_shown_token_by_token_as_text_json_and_a_page() {
    let (place, chats) = chats();
    let page = place.path("rows.html");
    let args = data(&place, &chats, &["--rows", "1", "--html", &page]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let text = stdout(&args);
    let marked = text.split("[[").nth(2).unwrap().split("]]").next().unwrap();
    assert!(
        marked.contains("was|") && marked.contains("good|") && !marked.contains("film"),
        "{text}"
    );
    let rows = &json(&args)["rows"];
    let learnt = rows[0]["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|token| token["learnt"] == true);
    assert!((2..6).contains(&learnt.count()), "{rows}");
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(
        html.contains("class=\"learnt\"") && html.contains("3 rows read"),
        "{html}"
    );
    let beyond = data(&place, &chats, &["--row", "9"]);
    let beyond: Vec<&str> = beyond.iter().map(String::as_str).collect();
    let (code, error) = failure(&beyond);
    assert!(code == 2 && error.contains("rows 1 to"), "{error}");
}
