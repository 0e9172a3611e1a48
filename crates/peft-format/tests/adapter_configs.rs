//! `adapter_config.json`: tolerance, errors, unsupported features, and the text that is written.

use std::path::Path;

use peft_format::file::{FileError, PeftConfig, to_json};
use peft_format::target::{Selector, Target, pattern_value};
use serde_json::{Map, Value, json};

fn parse(value: &Value) -> PeftConfig {
    PeftConfig::parse(
        value.to_string().as_bytes(),
        Path::new("adapter_config.json"),
    )
    .expect("the config parses")
}

fn unsupported(value: &Value) -> Vec<&'static str> {
    parse(value)
        .unsupported_for_lora()
        .iter()
        .map(|feature| feature.field)
        .collect()
}

#[test]
fn only_the_type_is_required() {
    let config = parse(&json!({"peft_type": "LORA"}));
    assert_eq!(
        (config.r, config.lora_alpha, config.lora_dropout),
        (8, 8.0, 0.0)
    );
    assert_eq!(
        (config.target, config.bias.as_str(), config.fan_in_fan_out),
        (None, "none", false)
    );
    let message = PeftConfig::parse(b"{}", Path::new("c.json"))
        .unwrap_err()
        .to_string();
    assert_eq!(message, "c.json: `peft_type` must be a string, found null");
}

#[test]
fn null_fields_have_defaults_and_numbers_may_be_floats() {
    let config = parse(&json!({
        "peft_type": "LORA", "fan_in_fan_out": null, "task_type": null, "rank_pattern": null, "bias": null,
        "modules_to_save": null, "r": 16.0, "lora_alpha": 12.5, "init_lora_weights": null, "exclude_modules": "",
    }));
    assert_eq!(
        (config.r, config.lora_alpha, config.fan_in_fan_out),
        (16, 12.5, false)
    );
    assert_eq!(
        (config.exclude, config.init_lora_weights),
        (None, json!(true))
    );
}

#[test]
fn four_key_configs_of_torchtune_are_read() {
    let config = parse(
        &json!({"r": 4, "lora_alpha": 16, "target_modules": ["q_proj"], "peft_type": "LORA"}),
    );
    assert_eq!(
        (config.r, config.target),
        (4, Some(Target::List(vec!["q_proj".into()])))
    );
}

#[test]
fn targets_are_lists_regexes_or_all_linear() {
    let target = |value: Value| {
        parse(&json!({"peft_type": "LORA", "target_modules": value}))
            .target
            .unwrap()
    };
    assert_eq!(target(json!("ALL-linear")), Target::AllLinear);
    assert_eq!(target(json!(".*q")), Target::Regex(".*q".into()));
    assert_eq!(target(json!([])), Target::List(vec![]));
    let config = parse(
        &json!({"peft_type": "LORA", "target_modules": ["q"], "exclude_modules": ["x"],
        "layers_to_transform": 3, "layers_pattern": "h"}),
    );
    let rules = config.target_rules().unwrap();
    assert_eq!(rules.exclude, Some(Selector::List(vec!["x".into()])));
    assert_eq!(
        (rules.layers_to_transform, rules.layers_pattern),
        (Some(vec![3]), vec!["h".to_owned()])
    );
}

#[test]
fn patterns_keep_the_order_of_the_file() {
    let text = br#"{"peft_type": "LORA", "rank_pattern": {"z_proj": 2, "a.z_proj": 4}}"#;
    let config = PeftConfig::parse(text, Path::new("x")).unwrap();
    assert_eq!(
        pattern_value(&config.rank_pattern, "a.z_proj").unwrap(),
        Some(&2)
    );
}

#[test]
fn unknown_fields_are_reported_and_kept_raw() {
    let config = parse(&json!({"peft_type": "LORA", "alpha": 16, "new_field": {"x": 1}, "r": 4}));
    assert_eq!(config.unknown, ["alpha", "new_field"]);
    assert_eq!(config.raw["new_field"], json!({"x": 1}));
}

#[test]
fn every_bad_field_is_named_at_once() {
    let value = json!({"peft_type": "LORA", "r": 0, "lora_alpha": "16", "target_modules": [1], "lora_dropout": 2.0,
        "bias": "some", "rank_pattern": {"q": 1.5}, "use_dora": "yes", "layers_to_transform": [-1]});
    let Err(FileError::BadConfig { problems, .. }) =
        PeftConfig::parse(value.to_string().as_bytes(), Path::new("x"))
    else {
        panic!("the config must be refused");
    };
    let mut fields: Vec<_> = problems.iter().map(|problem| problem.field).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "bias",
            "layers_to_transform",
            "lora_alpha",
            "lora_dropout",
            "r",
            "rank_pattern",
            "target_modules",
            "use_dora"
        ]
    );
    assert_eq!(
        problems
            .iter()
            .find(|problem| problem.field == "r")
            .unwrap()
            .to_string(),
        "`r` must be an integer from 1 to 65536, found 0"
    );
}

#[test]
fn the_boolean_ranks_of_adalora_parse_but_are_no_lora() {
    let ranks = json!({"layers.0.q.lora_E": [true, false]});
    assert_eq!(
        unsupported(&json!({"peft_type": "ADALORA", "rank_pattern": ranks})),
        ["peft_type", "rank_pattern"]
    );
    let text = json!({"peft_type": "LORA", "rank_pattern": ranks}).to_string();
    assert!(matches!(
        PeftConfig::parse(text.as_bytes(), Path::new("x")),
        Err(FileError::BadConfig { .. })
    ));
}

#[test]
fn alpha_has_the_name_that_the_method_gives_it() {
    for (peft_type, field) in [
        ("LORA", "lora_alpha"),
        ("LOHA", "alpha"),
        ("RANDLORA", "randlora_alpha"),
    ] {
        let config = parse(&json!({"peft_type": peft_type, field: 40, "r": 2}));
        assert_eq!((config.lora_alpha, config.alpha_field), (40.0, field));
        assert_eq!(config.unknown, [""; 0], "{peft_type}");
        let written = config.to_map(&Map::new());
        assert_eq!(written[field], json!(40), "{peft_type}");
        let fields = written.keys().filter(|name| name.ends_with("alpha"));
        assert_eq!(fields.count(), 1, "{peft_type}");
        let wrong = parse(&json!({"peft_type": "LOHA", "alpha": "40"}));
        assert_eq!(wrong.unreadable[0].field, "alpha");
    }
    // LoRA's own name is what LoRA has, whatever stands beside it.
    let lora = parse(&json!({"peft_type": "LORA", "alpha": 16}));
    assert_eq!((lora.lora_alpha, lora.alpha_field), (8.0, "lora_alpha"));
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let text = b"\xef\xbb\xbf{\"peft_type\": \"LORA\"}";
    assert_eq!(
        PeftConfig::parse(text, Path::new("x")).unwrap().peft_type,
        "LORA"
    );
}

#[test]
fn each_feature_that_changes_the_result_is_recognised() {
    for (field, used, unused) in [
        ("lora_bias", json!(true), json!(false)),
        ("layer_replication", json!([[0, 2]]), json!(null)),
        ("target_parameters", json!(["experts.up"]), json!([])),
        ("trainable_token_indices", json!([0]), json!(null)),
        ("megatron_config", json!({"x": 1}), json!({})),
        ("use_qalora", json!(true), json!(false)),
        ("alora_invocation_tokens", json!([1]), json!(null)),
        ("arrow_config", json!({"top_k": 3}), json!(null)),
        ("use_bdlora", json!({"nblocks": 2}), json!(null)),
        ("kasa_config", json!({"beta": 0.1}), json!(null)),
        ("velora_config", json!({"scale": 1.0}), json!(null)),
        ("monteclora_config", json!({"num_samples": 2}), json!(null)),
        ("ensure_weight_tying", json!(true), json!(false)),
        ("enable_lora", json!([true, false]), json!(null)),
        (
            "init_lora_weights",
            json!("PISSA_niter_4"),
            json!("gaussian"),
        ),
    ] {
        assert_eq!(
            unsupported(&json!({"peft_type": "LORA", field: used})),
            [field]
        );
        assert!(
            unsupported(&json!({"peft_type": "LORA", field: unused})).is_empty(),
            "{field}"
        );
    }
}

#[test]
fn initialisations_that_change_the_base_are_told_from_those_that_do_not() {
    for init in [
        "pissa",
        "olora",
        "corda",
        "loftq",
        "lora_ga",
        "of-next-year",
    ] {
        assert_eq!(
            unsupported(&json!({"peft_type": "LORA", "init_lora_weights": init})).len(),
            1,
            "{init}"
        );
    }
    for init in [
        json!(true),
        json!(false),
        json!("eva"),
        json!("orthogonal"),
        json!("MiCA"),
    ] {
        assert!(
            unsupported(&json!({"peft_type": "LORA", "init_lora_weights": init})).is_empty(),
            "{init}"
        );
    }
}

#[test]
fn rank_stabilised_and_decomposed_lora_are_supported() {
    assert!(
        unsupported(
            &json!({"peft_type": "LORA", "use_rslora": true, "use_dora": true, "loftq_config": {}})
        )
        .is_empty()
    );
}

#[test]
fn the_written_text_is_the_one_peft_writes() {
    let mut config = PeftConfig::new("LORA", Target::List(vec!["q_proj".into(), "v_proj".into()]));
    config.base_model_name_or_path = Some("meta-llama/Llama-3.2-3B".into());
    config.task_type = Some("CAUSAL_LM".into());
    (config.r, config.lora_alpha) = (32, 64.0);
    let expected = r#"{
  "alpha_pattern": {},
  "auto_mapping": null,
  "base_model_name_or_path": "meta-llama/Llama-3.2-3B",
  "bias": "none",
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "layers_pattern": null,
  "layers_to_transform": null,
  "lora_alpha": 64,
  "lora_dropout": 0.0,
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 32,
  "rank_pattern": {},
  "revision": null,
  "target_modules": [
    "q_proj",
    "v_proj"
  ],
  "task_type": "CAUSAL_LM",
  "use_dora": false,
  "use_rslora": false
}"#;
    assert_eq!(to_json(&config.to_map(&Map::new())), expected);
}

#[test]
fn newer_fields_are_written_only_when_used() {
    let mut config = PeftConfig::new("LORA", Target::List(vec!["q".into()]));
    config.exclude = Some(Selector::Regex(".*x".into()));
    config.lora_bias = true;
    let map = config.to_map(&Map::new());
    assert_eq!(
        (&map["exclude_modules"], &map["lora_bias"]),
        (&json!(".*x"), &json!(true))
    );
}

#[test]
fn method_fields_are_added_and_win() {
    let mut config = PeftConfig::new("LORA", Target::List(vec!["q".into()]));
    config.lora_alpha = 2.5;
    let mut fields = Map::new();
    fields.insert("peft_type".into(), json!("BORA"));
    fields.insert("nested".into(), json!({"z": 1, "a": [{"d": 1, "c": 2}]}));
    let text = to_json(&config.to_map(&fields));
    assert!(
        text.contains("\"peft_type\": \"BORA\"") && text.contains("\"lora_alpha\": 2.5"),
        "{text}"
    );
    assert!(
        text.find("\"a\"") < text.find("\"z\"") && text.find("\"c\"") < text.find("\"d\""),
        "{text}"
    );
}

#[test]
fn the_order_of_patterns_survives_writing() {
    let mut config = PeftConfig::new("LORA", Target::List(vec!["q".into()]));
    config.rank_pattern = [("z_proj".to_owned(), 2), ("a.z_proj".to_owned(), 4)]
        .into_iter()
        .collect();
    let text = to_json(&config.to_map(&Map::new()));
    let read = PeftConfig::parse(text.as_bytes(), Path::new("x")).unwrap();
    assert_eq!(
        pattern_value(&read.rank_pattern, "a.z_proj").unwrap(),
        Some(&2)
    );
}
