//! What becomes of the head in a file: taken, or left for a fresh one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::tensor::Device;
use common::golden;
use peft_models::hf::{HeadLabels, export};
use peft_models::{Loaded, SequenceClassifier, load_classifier, load_image_classifier};

#[test]
fn outputs_that_mean_something_else_start_afresh_though_they_are_as_many() {
    let device = Device::flex();
    let kept = load_classifier(&golden("bert"), None, 0, &device).unwrap();
    let labels = kept.config.num_labels();
    let same = load_classifier(&golden("bert"), Some(labels), 0, &device).unwrap();
    assert!(same.fresh.is_empty());
    let fresh = load_classifier(&golden("bert"), HeadLabels::Fresh(labels), 0, &device).unwrap();
    assert_eq!(fresh.fresh, ["classifier.bias", "classifier.weight"]);
    let weight = |loaded: &Loaded<SequenceClassifier>| {
        export(&loaded.model, &loaded.names)["classifier.weight"].clone()
    };
    assert_eq!(weight(&kept), weight(&same));
    assert_ne!(weight(&kept), weight(&fresh));

    let images = load_image_classifier(&golden("vit"), HeadLabels::Fresh(3), 0, &device).unwrap();
    assert_eq!(images.fresh, ["classifier.bias", "classifier.weight"]);
}
