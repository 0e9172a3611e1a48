//! Tests of where the files beside weights are taken from.

use super::*;

/// A folder with these files.
fn folder(root: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = root.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
    dir
}

fn tokenizer() -> String {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny/tokenizer.json");
    std::fs::read_to_string(bundled).unwrap()
}

const TEMPLATE: &str = "chat_template.jinja";

#[test]
fn an_adapters_own_files_come_before_the_models_and_a_named_folder_before_both() {
    let root = tempfile::tempdir().unwrap();
    let text = tokenizer();
    let model = folder(
        root.path(),
        "model",
        &[("tokenizer.json", &text), (TEMPLATE, "m")],
    );
    let other = text.replace("\"[UNK]\"", "\"[OTHER]\"");
    let adapter = folder(
        root.path(),
        "a",
        &[("tokenizer.json", &text), (TEMPLATE, "a")],
    );
    let named = folder(root.path(), "n", &[("tokenizer.json", &other)]);
    let found = Companions::new(&model, &[&adapter], None).unwrap();
    // The same tokenizer is the model's.
    assert_eq!(found.folder(Part::Tokenizer).unwrap(), model);
    assert_eq!(found.folder(Part::Template).unwrap(), adapter);
    assert_eq!(found.folder(Part::Generation).unwrap(), model);
    let found = Companions::new(&model, &[&adapter], Some(&named)).unwrap();
    assert_eq!(found.folder(Part::Template).unwrap(), adapter);
    let empty = folder(root.path(), "e", &[]);
    let error = Companions::new(&model, &[], Some(&empty)).unwrap_err();
    assert!(error.to_string().contains("--tokenizer"), "{error}");
}

#[test]
fn adapters_that_say_different_things_are_refused_where_it_matters_and_agreeing_ones_are_not() {
    let root = tempfile::tempdir().unwrap();
    let model = folder(root.path(), "model", &[]);
    let [a, b, c] = [("a", "x"), ("b", "y"), ("c", "x")]
        .map(|(name, text)| folder(root.path(), name, &[(TEMPLATE, text)]));
    let found = Companions::new(&model, &[&a, &c], None).unwrap();
    assert_eq!(found.folder(Part::Template).unwrap(), a);
    for several in [[&a, &b], [&a, &model]] {
        let found = Companions::new(&model, &[several[0], several[1]], None).unwrap();
        let error = found.folder(Part::Template).unwrap_err().to_string();
        assert!(
            error.contains("chat template differs") && error.contains("--tokenizer"),
            "{error}"
        );
        assert_eq!(found.folder(Part::Tokenizer).unwrap(), model);
    }
}

#[test]
fn a_tokenizer_that_was_saved_on_another_day_is_the_same_one() {
    let root = tempfile::tempdir().unwrap();
    let text = tokenizer();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["padding"] = serde_json::json!({
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"
    });
    let model = folder(root.path(), "model", &[("tokenizer.json", &text)]);
    let adapter = folder(root.path(), "a", &[("tokenizer.json", &value.to_string())]);
    let found = Companions::new(&model, &[&adapter], None).unwrap();
    assert_eq!(found.folder(Part::Tokenizer).unwrap(), model);
}

#[test]
fn a_merged_folder_ends_with_the_template_that_was_used_whichever_file_holds_it() {
    let inline = r#"{"eos_token": "e", "chat_template": "inline"}"#;
    let plain = r#"{"eos_token": "p"}"#;
    let config = "tokenizer_config.json";
    for (base, own, expected) in [
        (&[(TEMPLATE, "base")][..], &[(config, inline)][..], "inline"),
        (
            &[(config, inline)],
            &[(TEMPLATE, "own"), (config, plain)],
            "own",
        ),
        (&[(config, inline)], &[(config, plain)], "inline"),
        (&[(TEMPLATE, "base")], &[(config, plain)], "base"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let [model, adapter] =
            [("model", base), ("a", own)].map(|(name, files)| folder(root.path(), name, files));
        // What a merge copies of the base.
        let out = folder(root.path(), "out", base);
        let found = Companions::new(&model, &[&adapter], None).unwrap();
        found.carry(&out).unwrap();
        let again = Companions::new(&out, &[], None).unwrap();
        let text = ChatTemplate::source_in(again.folder(Part::Template).unwrap()).unwrap();
        assert_eq!(text.unwrap().text, expected);
        assert_eq!(
            again.tokens().unwrap()["eos_token"],
            found.tokens().unwrap()["eos_token"]
        );
    }
}

#[test]
fn a_tokenizer_is_carried_with_all_of_its_files() {
    let root = tempfile::tempdir().unwrap();
    let text = tokenizer();
    let base = [
        ("tokenizer.json", text.as_str()),
        ("added_tokens.json", "{}"),
        ("generation_config.json", "{}"),
    ];
    let model = folder(root.path(), "model", &base);
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["normalizer"] = Value::Null;
    let own = value.to_string();
    let adapter = folder(
        root.path(),
        "a",
        &[("tokenizer.json", &own), ("special_tokens_map.json", "{}")],
    );
    let out = folder(root.path(), "out", &base);
    Companions::new(&model, &[&adapter], None)
        .unwrap()
        .carry(&out)
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(out.join("tokenizer.json")).unwrap(),
        own
    );
    assert!(
        out.join("special_tokens_map.json").exists() && out.join("generation_config.json").exists()
    );
    assert!(!out.join("added_tokens.json").exists());
}
