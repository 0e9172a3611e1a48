//! Run files: settings that win, keys that are named, and any text at all.

use peft_core::causes;
use proptest::prelude::*;

use super::*;

fn load(settings: &[&str]) -> Result<RunConfig> {
    let settings: Vec<_> = settings.iter().map(|s| parse_setting(s).unwrap()).collect();
    RunConfig::load(None, &settings)
}

#[test]
fn later_settings_win_and_reach_every_table() {
    let config = load(&[
        "train.lr=1e-3",
        "train.lr=0.5",
        "adapter.options.dropout=0.1",
        "model=a b",
    ])
    .unwrap();
    assert_eq!(config.train.lr, 0.5);
    assert_eq!(config.adapter.options["dropout"], 0.1);
    assert_eq!(config.model, Path::new("a b"));
}

#[test]
fn unknown_keys_are_all_named_with_the_nearest_known_one() {
    let error = load(&["train.learning_rate=1", "adapter.rnak=4", "modle=x"])
        .unwrap_err()
        .to_string();
    for part in [
        "`train.learning_rate`",
        "`adapter.rnak`: did you mean `rank`?",
        "did you mean `model`?",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_written_run_file_reads_back_as_the_same_run() {
    let config = load(&[
        "adapter.targets=[\"query\"]",
        "adapter.rank_pattern={\"a.*b\"=3}",
        "train.seed=7",
    ])
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    std::fs::write(&path, config.to_toml().unwrap()).unwrap();
    let again = RunConfig::load(Some(&path), &[]).unwrap();
    assert_eq!(again.to_toml().unwrap(), config.to_toml().unwrap());
    assert_eq!(again.adapter.rank_pattern["a.*b"], 3);
}

#[test]
fn senseless_values_are_refused_with_their_name() {
    let error = causes(&load(&["train.batch_size=0"]).unwrap_err());
    assert!(error.contains("batch_size"), "{error}");
}

/// Sections, keys and values of run files, and things that are none.
fn line() -> impl Strategy<Value = String> {
    let section = prop::sample::select(vec![
        "[data]",
        "[adapter]",
        "[train]",
        "[adapter.options]",
        "[[x]]",
        "[",
        "",
    ]);
    let key = prop::sample::select(vec![
        "task",
        "model",
        "out",
        "metrics",
        "rank",
        "alpha",
        "targets",
        "layers",
        "lr",
        "epochs",
        "batch_size",
        "seed",
        "train",
        "columns",
        "max_length",
        "a.b",
        "\"\"",
        "x",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "1e-3",
        "nan",
        "inf",
        "true",
        "\"lora\"",
        "[]",
        "[1, 2]",
        "[\"a\"]",
        "{}",
        "{a = 1}",
        "9223372036854775807",
        "'",
    ]);
    let setting = (key, value).prop_map(|(key, value)| format!("{key} = {value}"));
    prop_oneof![1 => section.prop_map(str::to_owned), 4 => setting, 1 => "[ -~]{0,12}"]
}

proptest! {
    #[test]
    fn no_run_file_and_no_setting_panics(lines in prop::collection::vec(line(), 0..8), setting in "[ -~]{0,20}") {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let settings: Vec<_> = parse_setting(&setting).into_iter().collect();
        for settings in [&[][..], settings.as_slice()] {
            if let Ok(config) = RunConfig::load(Some(&path), settings) {
                prop_assert!(config.to_toml().is_ok());
            }
        }
    }
}

#[test]
fn a_setting_that_is_no_finite_number_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    for (text, key) in [
        ("[adapter.options]\ntask = nan\n", "adapter.options.task"),
        (
            "[adapter.alpha_pattern]\nquery = [1.0, inf]\n",
            "adapter.alpha_pattern.query",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = RunConfig::load(Some(&path), &[]).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
}

#[test]
fn settings_that_can_have_no_effect_are_refused_with_what_they_go_with() {
    let pairs = "lora, rslora, dora, bora, pissa, milora, olora, eva, reslora, lora-drop, moe-lora";
    for (settings, words) in [
        (
            &["adapter.method=svfit", "procedures.riemannian={}"][..],
            &["procedures.riemannian", "svfit", pairs][..],
        ),
        (
            &["adapter.method=eigenlorax", "train.lora_plus=16.0"],
            &["lora_plus", "eigenlorax", pairs],
        ),
        (
            &["adapter.method=full", "train.lora_plus=16.0"],
            &["lora_plus", "full", pairs],
        ),
        (
            &["adapter.method=head", "procedures.riemannian={}"],
            &["procedures.riemannian", "head", pairs],
        ),
        (
            &["procedures.riemannian.damping=0.0"],
            &["procedures.riemannian", "damping", "positive"],
        ),
        (
            &["procedures.riemannian.dampening=1.0"],
            &["procedures.riemannian", "dampening", "damping"],
        ),
        (
            &["adapter.method=vera", "adapter.alpha=8.0"],
            &["adapter.alpha", "vera", "leave it out"],
        ),
        (
            &["adapter.method=head", "train.head_lr=0.1"],
            &["head_lr", "--lr"],
        ),
        (&["train.head_lr=fast"], &["auto, same or a number", "fast"]),
        (&["train.head_lr=-1.0"], &["head_lr", "positive"]),
    ] {
        let error = causes(&load(settings).unwrap_err());
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }
    for settings in [
        &["adapter.method=dora", "procedures.riemannian={}"][..],
        &["adapter.method=moe-lora", "train.lora_plus=16.0"],
        &["adapter.method=head", "train.head_lr=same"],
        &["train.head_lr=0.05"],
    ] {
        load(settings).unwrap();
    }
}
