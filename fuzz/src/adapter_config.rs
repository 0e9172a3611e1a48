//! `adapter_config.json`: parsing, refusing, matching of targets, writing back.

use std::path::Path;

use peft_core::file::{PeftConfig, to_json};
use peft_core::lora::{LORA, RSLORA};
use peft_core::target::pattern_value;
use peft_core::{MethodEntry, Site, folder};

static METHODS: [&MethodEntry; 2] = [&LORA, &RSLORA];

/// Does with the bytes what the program does with such a file.
///
/// # Panics
/// When a reader contradicts itself: a finding.
pub fn run(bytes: &[u8]) {
    let path = Path::new("adapter_config.json");
    let Ok(config) = PeftConfig::parse(bytes, path) else {
        return;
    };
    let sites = [
        Site::new("bert.encoder.layer.0.attention.self.query", 8, 8),
        Site::new("model.layers.11.mlp.up_proj", 8, 16),
        Site::new("classifier", 8, 3),
    ];
    let _refused = config.unsupported_for_lora();
    for site in &sites {
        let _rank = pattern_value(&config.rank_pattern, &site.path);
        let _alpha = pattern_value(&config.alpha_pattern, &site.path);
    }
    if let Ok(spec) = folder::spec_of(&METHODS, &config) {
        let _plan = spec.plan(&sites, &["classifier".to_owned()]);
    }
    let text = to_json(&config.to_map(&serde_json::Map::new()));
    let again = PeftConfig::parse(text.as_bytes(), path).expect("what was written is read");
    assert_eq!(
        (again.r, &again.target, &again.exclude),
        (config.r, &config.target, &config.exclude)
    );
}
