//! Gradient checkpointing: the same gradients as without, with less memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use peak_alloc::PeakAlloc;
use peft_core::lora::Lora;
use peft_core::target::{Target, TargetRules};
use peft_core::{Adaptable, AdapterSpec, ParamNames, Pass, attach};
use peft_models::{
    CausalBatch, ModelConfig, TokenBatch, init_causal_lm, init_classifier, init_image_classifier,
};
use serde_json::{Value, json};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Sums the gradients of every parameter over the parts of a backward pass.
#[derive(Default)]
struct Totals(BTreeMap<String, Vec<f32>>);

struct Adding<'a>(&'a mut Totals, &'a Gradients);

impl ModuleVisitor for Adding<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = param.val().grad(self.1) else {
            return;
        };
        let values: Vec<f32> = gradient.into_data().iter::<f32>().collect();
        let total = self.0.0.entry(param.id.to_string()).or_default();
        total.resize(values.len(), 0.0);
        total.iter_mut().zip(values).for_each(|(t, v)| *t += v);
    }
}

fn config(text: &Value) -> ModelConfig {
    ModelConfig::parse(Path::new("config.json"), &text.to_string()).unwrap()
}

/// With LoRA on every linear layer and on `more`, dropout in both.
fn adapted<M: Adaptable>(model: M, names: &ParamNames, more: &[&str]) -> M {
    let targets = match more {
        [] => TargetRules::new(Target::AllLinear),
        more => TargetRules::list(more.iter().copied()),
    };
    let spec = AdapterSpec {
        method: Box::new(Lora {
            dropout: 0.2,
            ..Lora::default()
        }),
        rank: 2,
        alpha: 4.0,
        targets,
        ..AdapterSpec::default()
    };
    let model = attach(model, names, "a", &spec, 1).unwrap().0;
    model.map(&mut OffZero)
}

/// Moves what trains away from zero, where the gradient of the other factor vanishes.
struct OffZero;

impl ModuleMapper for OffZero {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        param.map(|value| Tensor::from_inner(value.without_autodiff() + 0.05).require_grad())
    }
}

fn gradients<M: Module>(
    model: &M,
    recompute: bool,
    loss: impl Fn(&M, &mut Pass<'_>) -> Tensor<1>,
) -> Totals {
    let mut pass = Pass::train(7);
    if recompute {
        pass = pass.with_recomputation();
    }
    let mut totals = Totals::default();
    let loss = loss(model, &mut pass);
    pass.backward(loss, 1.0, |part| {
        model.visit(&mut Adding(&mut totals, &part))
    });
    totals
}

/// The same gradients for every parameter, and as many as `parameters`.
fn check<M: Module>(model: &M, parameters: usize, loss: impl Fn(&M, &mut Pass<'_>) -> Tensor<1>) {
    let kept = gradients(model, false, &loss);
    let again = gradients(model, true, &loss);
    assert_eq!(kept.0.len(), parameters);
    assert!(kept.0.keys().eq(again.0.keys()));
    for (kept, again) in kept.0.values().zip(again.0.values()) {
        let size = kept.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        assert!(size > 0.0);
        for (a, b) in kept.iter().zip(again) {
            assert!((a - b).abs() <= 1e-6 * size, "{a} and {b} of {size}");
        }
    }
}

fn bert() -> Value {
    json!({"model_type": "bert", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 32, "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.3})
}

fn llama(layers: usize, d: usize) -> Value {
    json!({"model_type": "llama", "vocab_size": 40, "hidden_size": d, "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 2 * d, "max_position_embeddings": 128, "initializer_range": 0.3,
        "tie_word_embeddings": true})
}

#[test]
fn every_family_has_the_same_gradients_whether_blocks_are_kept_or_computed_again() {
    let device = Device::flex().autodiff();
    let rows = [vec![5, 6, 7, 8], vec![9, 10]];

    let loaded = init_classifier(config(&bert()), 1, &device).unwrap();
    let batch = TokenBatch::new(&rows, None, 0, &device).unwrap();
    let loss = |model: &peft_models::SequenceClassifier, pass: &mut Pass<'_>| {
        model.logits(&batch, pass).powi_scalar(2).mean()
    };
    let blocks = adapted(loaded.model.clone(), &loaded.names, &[]);
    check(&blocks, 2 * (6 * 3 + 1), loss);
    // An adapter below the first block: its gradient goes on from where the blocks end.
    let below = ["word_embeddings", "output.dense"];
    check(
        &adapted(loaded.model, &loaded.names, &below),
        2 * (1 + 2 * 3),
        loss,
    );

    let loaded = init_causal_lm(config(&llama(3, 16)), 1, &device).unwrap();
    let batch = CausalBatch::left_padded(&rows, &device).unwrap();
    let model = adapted(loaded.model, &loaded.names, &[]);
    check(&model, 2 * 7 * 3, |model, pass| {
        model.logits(&batch, None, pass).powi_scalar(2).mean()
    });

    let vit = json!({"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 32, "image_size": 4, "patch_size": 2, "num_channels": 1, "initializer_range": 0.3});
    let loaded = init_image_classifier(config(&vit), 1, &device).unwrap();
    let values: Vec<f32> = (0..48).map(|i| (i as f32 * 0.7).sin()).collect();
    let pixels = Tensor::<4>::from_data(TensorData::new(values, [3, 1, 4, 4]), &device);
    let model = adapted(loaded.model, &loaded.names, &[]);
    check(&model, 2 * 6 * 3, |model, pass| {
        model.logits(pixels.clone(), pass).powi_scalar(2).mean()
    });
    skipped();
    memory();
}

/// Outputs that are used by more than the next block have the gradients of all their uses.
fn skipped() {
    let device = Device::flex().autodiff();
    let loaded = init_classifier(config(&bert()), 1, &device).unwrap();
    let model = adapted(loaded.model, &loaded.names, &[]);
    let linears = |model: &peft_models::SequenceClassifier| {
        let mut linears = Vec::new();
        model.visit_linears(&mut |linear| {
            if linear.site().path.ends_with("query") {
                linears.push(linear.clone());
            }
        });
        linears
    };
    let x = Tensor::<2>::from_data(TensorData::new(vec![0.3_f32; 32], [2, 16]), &device);
    check(&model, 2 * 3, |model, pass| {
        let [first, second, third] = linears(model).try_into().unwrap();
        let through =
            |linear: &peft_core::AdaptedLinear, x: Tensor<2>, (): (), pass: &mut Pass<'_>| {
                linear.forward(x, pass).tanh()
            };
        let mut block = |linear: &peft_core::AdaptedLinear, x: Tensor<2>| {
            pass.block(linear, x, &0_usize, move |linear, x, _, pass| {
                through(linear, x, (), pass)
            })
        };
        let a = block(&first, x.clone());
        let b = block(&second, a.clone());
        let c = block(&third, b.clone());
        // The last output is not used at all in one term, the first in three.
        (a.clone() * b + a * c.clone()).powi_scalar(2).mean() + c.mean()
    });
}

/// Part of the only test of its process, so that nothing else allocates.
fn memory() {
    let device = Device::flex().autodiff();
    let loaded = init_causal_lm(config(&llama(12, 64)), 1, &device).unwrap();
    let model = adapted(loaded.model, &loaded.names, &[]);
    let rows: Vec<Vec<u32>> = (0..8).map(|row| vec![row + 1; 96]).collect();
    let batch = CausalBatch::left_padded(&rows, &device).unwrap();
    let peak = |recompute| {
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        gradients(&model, recompute, |model, pass| {
            model.logits(&batch, None, pass).powi_scalar(2).mean()
        });
        HEAP.peak_usage().saturating_sub(before)
    };
    let (kept, again) = (peak(false), peak(true));
    assert!(
        again * 4 < kept,
        "{again} of {kept} bytes for twelve blocks"
    );
}
