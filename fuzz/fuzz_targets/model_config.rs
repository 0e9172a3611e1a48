//! `config.json` of a model: sizes, options, labels and the layers that follow from them.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use peft_models::{ModelConfig, causal_lm_sites, classifier_sites, encoder_sites};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(config) = ModelConfig::parse(Path::new("config.json"), text) else {
        return;
    };
    if let Ok(sites) = causal_lm_sites(&config) {
        assert!(!sites.is_empty());
    }
    if let (Ok(classifier), Ok(encoder)) = (classifier_sites(&config), encoder_sites(&config)) {
        assert_eq!(classifier.len(), encoder.len() + 2);
        assert_eq!(classifier.last().map(|site| site.d_out), Some(config.num_labels()));
    }
});
