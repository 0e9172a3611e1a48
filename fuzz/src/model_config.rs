//! `config.json` of a model: sizes, options, labels and the layers that follow from them, and what they count up to.

use std::path::Path;

use peft_core::{AdapterSpec, Site};
use peft_models::{
    ModelConfig, causal_lm_sites, classifier_sites, decoder_classifier_sites, encoder_sites,
    image_classifier_sites, max_length,
};

/// Does with the bytes what the program does with such a file.
///
/// # Panics
/// When a reader contradicts itself: a finding.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(config) = ModelConfig::parse(Path::new("config.json"), text) else {
        return;
    };
    let _ = max_length(&config);
    let forms = [
        causal_lm_sites(&config),
        decoder_classifier_sites(&config),
        image_classifier_sites(&config),
        classifier_sites(&config),
    ];
    for sites in forms.into_iter().flatten() {
        counted(&sites);
    }
    if let (Ok(classifier), Ok(encoder)) = (classifier_sites(&config), encoder_sites(&config)) {
        assert_eq!(classifier.len(), encoder.len() + 2);
        assert_eq!(
            classifier.last().map(|site| site.d_out),
            Some(config.num_labels())
        );
    }
}

/// Adds up what the layers have and what LoRA would train there.
fn counted(sites: &[Site]) {
    let products = sites.iter().map(|site| site.d_in.checked_mul(site.d_out));
    let all = products
        .reduce(|sum, product| sum?.checked_add(product?))
        .flatten();
    assert!(all.is_some_and(|all| all > 0));
    let _ = AdapterSpec::default().plan(sites, &[]);
}
