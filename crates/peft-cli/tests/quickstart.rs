//! `peft quickstart` from the outside: it learns, saves, merges, verifies, and does not overwrite.

mod binary;

use serde_json::Value;

#[test]
fn the_tour_ends_with_a_saved_merged_and_verified_adapter_and_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tour");
    let tour = [
        "quickstart",
        "--device",
        "flex",
        "--out",
        out.to_str().unwrap(),
    ];
    let report = binary::json(&tour);

    let accuracy = |method: &str| {
        let rows = report["methods"].as_array().unwrap();
        let row = rows.iter().find(|row| row["method"] == method).unwrap();
        row["accuracy"].as_f64().unwrap()
    };
    let [head, full, lora] = ["head", "full", "lora"].map(accuracy);
    assert!(head < 0.8, "frozen features solve the task: {head}");
    assert!(lora >= head + 0.1, "LoRA {lora}, head only {head}");
    assert!(lora >= 0.9 && full >= 0.9, "LoRA {lora}, full {full}");

    let verification = &report["verification"];
    assert_eq!(verification["reloaded"]["accuracy"].as_f64().unwrap(), lora);
    for (what, allowed) in [("reloaded", 1e-6), ("merged", 1e-3)] {
        assert_eq!(verification[what]["passed"], true, "{what}");
        assert!(
            verification[what]["largest_difference"].as_f64().unwrap() <= allowed,
            "{what}"
        );
    }
    for file in [
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "data/test.jsonl",
        "head/results.json",
        "full/model.safetensors",
        "lora/adapter_config.json",
        "lora/adapter_model.safetensors",
        "merged/model.safetensors",
        "merged/tokenizer.json",
        "accuracy.svg",
        "accuracy.png",
    ] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    let again = String::from_utf8(binary::peft(&tour).stderr).unwrap();
    assert!(again.contains("--overwrite"), "{again}");
    the_suggested_commands_work(&report, lora);
}

fn the_suggested_commands_work(report: &Value, lora: f64) {
    let commands: Vec<&str> = report["next"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let words = |index: usize| -> Vec<&str> { commands[index].split(' ').skip(1).collect() };
    let scores = binary::json(&words(0));
    assert_eq!(
        scores["metrics"]["accuracy"].as_f64(),
        Some(lora),
        "{scores}"
    );
    let answers = binary::stdout(&words(1));
    assert_eq!(answers.lines().count(), 400);
    assert!(
        commands[2].starts_with("peft train ") && commands.len() == 3,
        "{commands:?}"
    );
}
