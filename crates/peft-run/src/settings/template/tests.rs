//! Tests of the printed run file.

use super::super::TaskKind;
use super::*;

fn defaults(task: TaskKind) -> RunConfig {
    RunConfig {
        task,
        ..RunConfig::default()
    }
}

fn load(text: &str) -> Result<RunConfig> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    RunConfig::load(Some(&path), &[])
}

/// Every line that holds a setting, without the mark of those that are commented out.
fn uncommented(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_setting(rest) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// `name = value ...`, as opposed to prose.
fn is_setting(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| {
        key.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

/// Dotted names of every value and table.
fn keys(value: &Value, path: &str, found: &mut Vec<String>) {
    for (key, below) in value.as_object().into_iter().flatten() {
        let full = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        keys(below, &full, found);
        found.push(full);
    }
}

#[test]
fn the_printed_run_file_is_the_default_run_apart_from_its_paths() {
    for task in [TaskKind::SeqCls, TaskKind::Regression] {
        let read = load(&template(&defaults(task)).unwrap()).unwrap();
        let mut expected = defaults(task);
        assert_ne!(read.model, expected.model);
        expected.model.clone_from(&read.model);
        expected.out.clone_from(&read.out);
        expected.data.train.clone_from(&read.data.train);
        assert_eq!(read.to_toml().unwrap(), expected.to_toml().unwrap());
    }
}

#[test]
fn every_setting_that_a_run_knows_stands_in_the_run_file() {
    let text = uncommented(&template(&RunConfig::default()).unwrap());
    let printed: toml::Table = text.parse().unwrap();
    let printed = serde_json::to_value(printed).unwrap();
    let mut known = vec![];
    keys(
        &serde_json::to_value(RunConfig::default()).unwrap(),
        "",
        &mut known,
    );
    assert!(known.len() > 40, "{known:?}");
    for key in &known {
        let pointer = format!("/{}", key.replace('.', "/"));
        assert!(
            printed.pointer(&pointer).is_some(),
            "`{key}` is missing in\n{text}"
        );
    }
    let described: Vec<&str> = described::all().map(|setting| setting.key).collect();
    for key in described {
        assert!(
            known.iter().any(|known| known == key),
            "`{key}` is no setting of a run"
        );
    }
}

#[test]
fn every_example_that_is_commented_out_is_accepted() {
    let text = uncommented(&template(&RunConfig::default()).unwrap());
    // Of no effect with the task and the method of the file, which is an error.
    let idle = ["packing =", "threshold =", "keep ="];
    let is_idle = |line: &&str| idle.iter().any(|setting| line.starts_with(setting));
    let lines: Vec<&str> = text.lines().filter(|line| !is_idle(line)).collect();
    let text = lines.join("\n");
    let config =
        load(&text).unwrap_or_else(|error| panic!("{}\n{text}", peft_core::causes(&error)));
    assert_eq!(config.train.patience, Some(3));
    assert_eq!(config.data.limit, Some(1000));
    let entry = registry::find(&config.adapter.method).unwrap();
    assert_eq!(config.adapter.options, (entry.default_options)());
}
