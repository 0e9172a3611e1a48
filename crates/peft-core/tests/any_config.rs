//! Any JSON under the names of real fields: never a panic, and what is read can be written and read again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use peft_core::file::{PeftConfig, to_json};
use peft_core::lora::{LORA, RSLORA};
use peft_core::{Site, folder};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const FIELDS: [&str; 22] = [
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "bias",
    "fan_in_fan_out",
    "init_lora_weights",
    "use_rslora",
    "use_dora",
    "lora_bias",
    "layer_replication",
    "enable_lora",
    "something_new",
];

/// Values that some field accepts, and values that none does.
fn value() -> impl Strategy<Value = Value> {
    let fitting = prop::sample::select(vec![
        json!("LORA"),
        json!("SEQ_CLS"),
        json!("all-linear"),
        json!(["q_proj", "v_proj"]),
        json!(".*(q|v)_proj"),
        json!("("),
        json!(8),
        json!(0.5),
        json!(u64::MAX),
        json!(-1),
        json!(1e300),
        json!({"q.*": 4}),
        json!({"(": 1}),
        json!([0, 1]),
        json!(true),
        json!(null),
        json!("none"),
        json!("pissa"),
        json!([[0, 2]]),
    ]);
    let any = any::<i64>().prop_map(Value::from).boxed();
    let any =
        prop_oneof![any, "[ -~]{0,8}".prop_map(Value::from)].prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
    prop_oneof![4 => fitting, 1 => any]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_values_of_real_fields_are_read_or_refused(
        fields in prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), value(), 0..8),
        lora in prop::bool::weighted(0.8),
    ) {
        let mut raw: Map<String, Value> = fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
        if lora {
            raw.insert("peft_type".into(), "LORA".into());
        }
        let path = Path::new("adapter_config.json");
        match PeftConfig::parse(Value::Object(raw).to_string().as_bytes(), path) {
            Err(error) => prop_assert!(error.to_string().contains("must be"), "{}", error),
            Ok(config) => {
                let _refused = config.unsupported_for_lora();
                let sites = [Site::new("model.layers.1.q_proj", 8, 8), Site::new("classifier", 8, 2)];
                if let Ok(spec) = folder::spec_of(&[&LORA, &RSLORA], &config) {
                    let _plan = spec.plan(&sites, &["classifier".to_owned()]);
                }
                let text = to_json(&config.to_map(&Map::new()));
                let again = PeftConfig::parse(text.as_bytes(), path).unwrap();
                prop_assert_eq!((again.r, again.lora_alpha, &again.target), (config.r, config.lora_alpha, &config.target));
            }
        }
    }
}
