//! The account of a run's data: before training, in the results, from `peft data` and `peft eval`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::decoder::Place;
use binary::{failure, json, said, stdout};
use serde_json::{Value, json as value};

/// ChatML, with the tokenizer's own words.
const TEMPLATE: &str = "{% for m in messages %}{{ '[CLS] ' + m.role + ' ' + m.content + ' [SEP]' }}{% endfor %}\
                        {% if add_generation_prompt %}{{ '[CLS] assistant ' }}{% endif %}";

const CHATS: &str = "chats.jsonl";

/// A place whose model has a chat template, and a file of conversations: one short, one with a long answer, one with a long prompt.
fn chats() -> Place {
    let place = Place::new();
    std::fs::write(place.path("model/chat_template.jinja"), TEMPLATE).unwrap();
    let said = |asked: &str, answer: &str| value!({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], "id": 1});
    let long = "the film was good and ".repeat(20);
    let lines = [
        said("the film", "was good"),
        said("the film", &long),
        said(&long, "was good"),
    ];
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    std::fs::write(place.path(CHATS), text.join("\n")).unwrap();
    place
}

/// What `peft data` says of the conversations in rows of 20 tokens.
fn account(place: &Place) -> Value {
    place.reading("data", CHATS, &["--max-length", "20"], json)
}

#[test]
fn what_is_read_dropped_cut_and_learnt_is_counted() {
    let shown = account(&chats());
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
    let place = chats();
    let shown = account(&place);
    let out = place.path("out");
    let length = ["--max-length", "20"];
    let how = ["--out", &out, "--targets", "all-linear", "--max-steps", "1"];
    let said = place.reading("train", CHATS, &[&how[..], &length].concat(), said);
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
    let scored = place.scores("model", CHATS, &length);
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
    let shown = || place.reading("data", "texts.jsonl", &[], json);
    let tokens = &shown()["train"]["tokens"];
    assert_eq!(tokens["cut_rows"], 0);
    assert!(
        tokens["longest"].as_u64().unwrap() > 50 && tokens["max_length"] == tokens["longest"],
        "{tokens}"
    );
    std::fs::write(&path, [text(3), text(90)].join("\n")).unwrap();
    let tokens = &shown()["train"]["tokens"];
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
    let (code, error) = place.reading("data", "texts.jsonl", &[], failure);
    assert!(
        code == 1 && error.contains("line 1 (") && error.contains("--max-length"),
        "{error}"
    );
}

#[test]
fn texts_to_be_classified_are_as_long_as_the_model_takes() {
    let place = Place::new();
    let [model, path] = ["model", "labelled.csv"].map(|name| place.path(name));
    let row = |words: usize, label: &str| format!("{},{label}\n", "good ".repeat(words));
    let rows = ["text,label\n".to_owned(), row(50, "a"), row(90, "b")];
    std::fs::write(&path, rows.concat()).unwrap();
    let shown = |more: &[&str]| {
        let fixed = [
            "data", "--model", &model, "--task", "seq-cls", "--train", &path,
        ];
        json(&[&fixed[..], more].concat())["train"]["tokens"].clone()
    };
    let whole = shown(&[]);
    assert_eq!(
        (&whole["cut_rows"], &whole["max_length"]),
        (&value!(1), &value!(64)),
        "the model takes 64"
    );
    assert_eq!(shown(&["--max-length", "20"])["cut_rows"], 2);
}

#[test]
fn rows_are_shown_token_by_token_as_text_json_and_a_page() {
    let place = chats();
    let page = place.path("rows.html");
    let asked = ["--rows", "1", "--html", &page];
    let text = place.reading("data", CHATS, &asked, stdout);
    let marked = text.split("[[").nth(2).unwrap().split("]]").next().unwrap();
    assert!(
        marked.contains("was|") && marked.contains("good|") && !marked.contains("film"),
        "{text}"
    );
    let rows = &place.reading("data", CHATS, &asked, json)["rows"];
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
    let (code, error) = place.reading("data", CHATS, &["--row", "9"], failure);
    assert!(code == 2 && error.contains("rows 1 to"), "{error}");
}
