//! Whole models of half precision: every family forwards in f16 and bf16, tied heads too, and trains and merges adapters in f32.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use common::{Expected, golden};
use peft_core::merge::merge;
use peft_core::target::TargetRules;
use peft_core::{Adaptable, AdapterSpec, BiasTraining, ParamNames, Pass, attach, cast};
use peft_models::{
    CausalBatch, Loaded, ModelConfig, load_causal_lm, load_classifier, load_decoder_classifier,
    load_image_classifier,
};
use serde_json::Value;

/// Every float parameter in another type.
struct To(FloatDType);

impl ModuleMapper for To {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| value.cast(self.0))
    }
}

fn to<M: Module>(model: M, dtype: DType) -> M {
    model.map(&mut To(dtype.into()))
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    cast(tensor, DType::F32).into_data().iter().collect()
}

/// `||found - expected|| / ||expected||`.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let differences = found.iter().zip(expected).map(|(a, b)| a - b);
    norm(&mut differences.into_iter()) / norm(&mut expected.iter().copied())
}

/// What a model of some family is tried with.
struct Trial<'a, M, F> {
    loaded: Loaded<M>,
    /// A norm or another module that is no linear layer, trained in the base itself.
    saved: &'a str,
    logits: F,
}

impl<M: Adaptable, F: Fn(&M, &Device, &mut Pass<'_>) -> Tensor<2>> Trial<'_, M, F> {
    fn check(&self) {
        for (dtype, close) in [(DType::F16, 0.01), (DType::BF16, 0.05)] {
            let device = Device::flex().autodiff();
            let half = to(self.loaded.model.clone(), dtype);
            let full = to(half.clone(), DType::F32);
            let logits = |model: &M| (self.logits)(model, &device, &mut Pass::eval());
            let found = logits(&half);
            assert_eq!(found.dtype(), dtype);
            let expected = host(logits(&full));
            let distance = apart(&host(found), &expected);
            assert!(distance < close, "{dtype:?}: {distance}");
            self.train_and_merge(half, dtype, close);
        }
    }

    /// LoRA on every layer, a norm and the biases.
    fn train_and_merge(&self, half: M, dtype: DType, close: f32) {
        let device = Device::flex().autodiff();
        // A table that is the output layer too is left alone: what is merged into it changes both.
        let raw = self.loaded.config.raw();
        let is_tied = raw.get("tie_word_embeddings").and_then(Value::as_bool) == Some(true);
        let mut sites = half.sites();
        sites.retain(|site| !is_tied || !matches!(site.role(), "wte" | "embed_tokens" | "lm_head"));
        let spec = AdapterSpec {
            rank: 2,
            alpha: 4.0,
            targets: TargetRules::list(sites.iter().map(|site| site.path.as_str())),
            modules_to_save: vec![self.saved.to_owned()],
            bias: BiasTraining::All,
            ..AdapterSpec::default()
        };
        let names: &ParamNames = &self.loaded.names;
        let (mut model, report) = attach(half, names, "default", &spec, 1).unwrap();
        assert!(report.changed.iter().any(|name| name.contains(self.saved)));
        let mut optimizer = AdamWConfig::new().init();
        let loss = |model: &M, pass: &mut Pass<'_>| {
            let logits = (self.logits)(model, &device, pass);
            assert_eq!(logits.dtype(), dtype, "the type of the base");
            let errors = cast(logits, DType::F32).sub_scalar(1.0);
            errors.powi_scalar(2).mean()
        };
        // Without dropout: the losses of two steps are of two masks.
        let judged = |model: &M| loss(model, &mut Pass::eval()).into_scalar::<f32>();
        let before = judged(&model);
        for step in 0..16 {
            let loss = loss(&model, &mut Pass::train(step));
            let grads = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(3e-3, model, grads);
        }
        let after = judged(&model);
        assert!(after < 0.9 * before, "{dtype:?}: {before} to {after}");
        let model = model.valid();
        let device = Device::flex();
        let logits = |model: &M| host((self.logits)(model, &device, &mut Pass::eval()));
        let adapted = logits(&model);
        let merged = merge(model).unwrap();
        let distance = apart(&logits(merged.model()), &adapted);
        assert!(distance < close, "merged {dtype:?}: {distance}");
    }
}

fn causal(name: &str, saved: &str) {
    let rows = Expected::of(name).full_rows("input_ids");
    let batch = |device: &Device| CausalBatch::left_padded(&rows, device).unwrap();
    let loaded = load_causal_lm(&golden(name), &Device::flex().autodiff()).unwrap();
    Trial {
        loaded,
        saved,
        logits: |model: &peft_models::CausalLm, device: &Device, pass: &mut Pass<'_>| {
            let logits = model.logits(&batch(device), None, pass);
            let [rows, seq, vocab] = logits.dims();
            logits.reshape([rows * seq, vocab])
        },
    }
    .check();
}

#[test]
fn decoders_with_heads_of_their_own_run_in_half_precision() {
    causal("llama", "model.norm");
    causal("mistral", "model.norm");
}

#[test]
fn decoders_whose_head_is_the_word_table_run_in_half_precision() {
    causal("gpt2", "ln_f");
    causal("qwen3", "model.norm");
}

#[test]
fn classifiers_of_texts_run_in_half_precision() {
    let tracked = Device::flex().autodiff();
    for (name, pad_id, saved) in [
        ("bert", 0, "embeddings.LayerNorm"),
        ("roberta", 1, "embeddings.LayerNorm"),
    ] {
        let expected = Expected::of(name);
        Trial {
            loaded: load_classifier(&golden(name), None, 0, &tracked).unwrap(),
            saved,
            logits: |model: &peft_models::SequenceClassifier,
                     device: &Device,
                     pass: &mut Pass<'_>| {
                model.logits(&expected.batch(pad_id, device), pass)
            },
        }
        .check();
    }
    let rows = Expected::of("llama-classifier").full_rows("input_ids");
    let config = ModelConfig::read(&golden("llama-classifier")).unwrap();
    Trial {
        loaded: load_decoder_classifier(config, &golden("llama-classifier"), None, 0, &tracked)
            .unwrap(),
        saved: "model.norm",
        logits: |model: &peft_models::DecoderClassifier, device: &Device, pass: &mut Pass<'_>| {
            model.logits(&CausalBatch::left_padded(&rows, device).unwrap(), pass)
        },
    }
    .check();
}

#[test]
fn a_classifier_of_images_runs_in_half_precision() {
    let values = Expected::of("vit").floats("pixels");
    Trial {
        loaded: load_image_classifier(&golden("vit"), None, 0, &Device::flex().autodiff()).unwrap(),
        saved: "vit.layernorm",
        logits: |model: &peft_models::ImageClassifier, device: &Device, pass: &mut Pass<'_>| {
            let pixels = TensorData::new(values.clone(), [4, 3, 12, 12]);
            model.logits(Tensor::from_data(pixels, device), pass)
        },
    }
    .check();
}
