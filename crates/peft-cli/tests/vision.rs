//! Every method on a vision model: no method knows of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use peft_core::lora::{LORA, RSLORA};
use peft_core::merge::merge;
use peft_core::target::{Target, TargetRules};
use peft_core::{AdapterSpec, MethodEntry, Pass, attach};
use peft_decompose::bora::BORA;
use peft_decompose::dora::DORA;
use peft_decompose::milora::MILORA;
use peft_decompose::olora::OLORA;
use peft_decompose::pissa::PISSA;
use peft_decompose::svfit::SVFIT;
use peft_models::{ImageClassifier, ModelConfig, init_image_classifier};
use serde_json::json;

const METHODS: [&MethodEntry; 8] = [
    &LORA, &RSLORA, &DORA, &BORA, &SVFIT, &PISSA, &MILORA, &OLORA,
];
const IMAGES: usize = 24;
const SIZE: usize = 8;

/// Images of noise with a bright quarter, which is the label.
fn images(device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let mut pixels = Vec::with_capacity(IMAGES * SIZE * SIZE);
    for image in 0..IMAGES {
        for at in 0..SIZE * SIZE {
            let (row, column) = (at / SIZE, at % SIZE);
            let quarter = 2 * usize::from(row >= SIZE / 2) + usize::from(column >= SIZE / 2);
            let noise = ((image * 97 + at * 31) as f32 * 0.73).sin() * 0.5;
            pixels.push(noise + if quarter == image % 4 { 1.0 } else { 0.0 });
        }
    }
    let labels: Vec<i64> = (0..IMAGES).map(|image| (image % 4) as i64).collect();
    (
        Tensor::from_data(TensorData::new(pixels, [IMAGES, 1, SIZE, SIZE]), device),
        Tensor::from_data(TensorData::new(labels, [IMAGES]), device),
    )
}

fn loss(model: &ImageClassifier, device: &Device) -> Tensor<1> {
    let (pixels, labels) = images(device);
    let logits = model.logits(pixels, &mut Pass::eval());
    CrossEntropyLossConfig::new()
        .init(device)
        .forward(logits, labels)
}

fn value(loss: Tensor<1>) -> f32 {
    loss.into_scalar::<f32>()
}

#[test]
fn every_method_trains_a_vision_transformer_and_merges() {
    let device = Device::default().autodiff();
    let config = json!({
        "model_type": "vit", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "image_size": SIZE, "patch_size": 4, "num_channels": 1,
        "num_labels": 4, "initializer_range": 0.2
    });
    let config = ModelConfig::parse(Path::new("config.json"), &config.to_string()).unwrap();
    for method in METHODS {
        let loaded = init_image_classifier(config.clone(), 1, &device).unwrap();
        let before = value(loss(&loaded.model, &device));
        let spec = AdapterSpec {
            method: (method.from_options)(&(method.default_options)()).unwrap(),
            rank: 4,
            alpha: 8.0,
            targets: TargetRules::new(Target::AllLinear),
            modules_to_save: vec!["classifier".into()],
            ..AdapterSpec::default()
        };
        let (mut model, report) = attach(loaded.model, &loaded.names, "a", &spec, 1).unwrap();
        assert_eq!(report.sites.len(), 12, "six layers of two blocks");
        let mut optimizer = AdamWConfig::new().init();
        for _ in 0..40 {
            let grads = GradientsParams::from_grads(loss(&model, &device).backward(), &model);
            model = optimizer.step(1e-2, model, grads);
        }
        let after = value(loss(&model, &device));
        assert!(after < 0.3 * before, "{}: {before} to {after}", method.id);
        let merged = merge(model).unwrap().into_model();
        let of_merged = value(loss(&merged, &device));
        assert!(
            (of_merged - after).abs() < 1e-3,
            "{}: {after}, {of_merged}",
            method.id
        );
    }
}
