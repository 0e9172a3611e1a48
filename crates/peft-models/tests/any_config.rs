//! Any values in the fields of a real `config.json`: read or refused, never a panic and no memory for claimed sizes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::golden;
use peft_core::{AdapterSpec, Site};
use peft_models::{
    ModelConfig, causal_lm_sites, classifier_sites, encoder_sites, image_classifier_sites,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            json!("bert"),
            json!("gelu"),
            json!(0),
            json!(1),
            json!(-1),
            json!(u64::MAX),
            json!(1e300),
            json!(0.5),
            json!(null),
            json!(true),
            json!([]),
            json!(["a"]),
            json!({}),
            json!({"0": "no", "1": "yes"}),
            json!({"no": 0, "yes": 7}),
            json!({"9": "x"}),
        ]),
        any::<u32>().prop_map(Value::from),
    ]
}

/// Adds up what every layer has and what LoRA would train there: no size that is read may be too large for it.
fn counted(sites: &[Site]) {
    let all: usize = sites.iter().map(|site| site.d_in * site.d_out).sum();
    assert!(all > 0);
    AdapterSpec::default().plan(sites, &[]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_values_in_a_real_configuration_are_read_or_refused(
        family in prop::sample::select(vec!["bert", "roberta", "distilbert", "llama3", "qwen2", "gpt2", "vit"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4),
    ) {
        let text = fs::read_to_string(golden(family).join("config.json")).unwrap();
        let mut raw: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let fields: Vec<String> = raw.keys().cloned().collect();
        for (index, value) in changes {
            raw.insert(index.get(&fields).clone(), value);
        }
        let path = Path::new("config.json");
        let config = ModelConfig::parse(path, &Value::Object(raw).to_string());
        if let Ok(config) = &config {
            for sites in [causal_lm_sites(config), image_classifier_sites(config)].into_iter().flatten() {
                prop_assert!(!sites.is_empty());
                counted(&sites);
            }
        }
        if let Ok(config) = config
            && let (Ok(classifier), Ok(encoder)) = (classifier_sites(&config), encoder_sites(&config))
        {
            prop_assert_eq!(classifier.len(), encoder.len() + 2);
            prop_assert_eq!(classifier.last().unwrap().d_out, config.num_labels());
        }
    }
}
