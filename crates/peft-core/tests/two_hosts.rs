//! Both hosts over the same network, of shapes that nobody chose by hand: gradients, training, folders, merging, several adapters.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleDisplay, ModuleVisitor, Param, ParamId};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData, activation};
use peft_core::lora::{LORA, Lora, RSLORA};
use peft_core::merge::merge;
use peft_core::testing::case::gradients;
use peft_core::testing::tolerance::{ELEMENTWISE, GRADIENT, MATMUL, assert_close};
use peft_core::{
    Adaptable, AdaptedLinear, AdapterSpec, Hosted, ParamNames, Pass, PeftError, attach, folder,
    hosted, named, select_adapters,
};
use proptest::prelude::*;

/// A stack of layers with `tanh` between them, made of this crate's layers.
#[derive(Module, Adaptable, Debug)]
struct Own {
    layers: Vec<AdaptedLinear>,
    #[adaptable(head)]
    head: AdaptedLinear,
}

/// The same of Burn's layers.
#[derive(Module, Debug)]
struct Plain {
    layers: Vec<Linear>,
    head: Linear,
}

impl Plain {
    fn new(widths: &[usize], device: &Device) -> Self {
        let mut layers: Vec<Linear> = widths
            .windows(2)
            .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
            .collect();
        let head = layers.pop().unwrap();
        Self { layers, head }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let layers = self.layers.iter();
        let x = layers.fold(x, |x, layer| activation::tanh(layer.forward(x)));
        self.head.forward(x)
    }

    fn own(self) -> Own {
        Own {
            layers: self.layers.into_iter().map(Into::into).collect(),
            head: self.head.into(),
        }
    }
}

/// A model that answers through either host.
trait Answers: Adaptable {
    fn answer(&self, x: Tensor<2>) -> Tensor<2>;
}

impl Answers for Own {
    fn answer(&self, x: Tensor<2>) -> Tensor<2> {
        let pass = &mut Pass::train(7);
        let layers = self.layers.iter();
        let x = layers.fold(x, |x, layer| activation::tanh(layer.forward(x, pass)));
        self.head.forward(x, pass)
    }
}

impl Answers for Hosted<Plain> {
    fn answer(&self, x: Tensor<2>) -> Tensor<2> {
        self.module().forward(x)
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn inputs(rows: usize, width: usize, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..rows * width).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_data(TensorData::new(values, [rows, width]), device)
}

fn spec(rank: usize) -> AdapterSpec {
    AdapterSpec {
        rank,
        alpha: 2.0 * rank as f64,
        ..AdapterSpec::default()
    }
}

fn loss<M: Answers>(model: &M, width: usize, device: &Device) -> Tensor<1> {
    let answer = model.answer(inputs(5, width, device));
    (answer - 0.3).powi_scalar(2).mean()
}

fn train<M: Answers>(mut model: M, width: usize, steps: usize, device: &Device) -> M {
    let mut optimizer = AdamWConfig::new().init();
    for _ in 0..steps {
        let grads = GradientsParams::from_grads(loss(&model, width, device).backward(), &model);
        model = optimizer.step(3e-2, model, grads);
    }
    model
}

fn gradients_of<M: Answers>(
    model: &M,
    names: &ParamNames,
    width: usize,
    device: &Device,
) -> BTreeMap<String, Vec<f32>> {
    let grads = GradientsParams::from_grads(loss(model, width, device).backward(), model);
    gradients(model, names, &grads)
}

fn attached<M: Adaptable>(model: M, names: &ParamNames, name: &str, rank: usize) -> M {
    attach(model, names, name, &spec(rank), 5).unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_hosts_give_the_same_outputs_and_gradients(
        widths in prop::collection::vec(1usize..9, 3..6), rank in 1usize..4,
    ) {
        let device = Device::default().autodiff();
        let plain = Plain::new(&widths, &device);
        let (own, names) = named(plain.clone().own()).unwrap();
        let (hosted, same) = hosted(plain).unwrap();
        let hosted = hosted.with_heads(["head"]);
        prop_assert_eq!(&names, &same);
        let own = train(attached(own, &names, "default", rank), widths[0], 2, &device);
        let hosted = train(attached(hosted, &names, "default", rank), widths[0], 2, &device);
        let x = inputs(5, widths[0], &device);
        assert_close("outputs", &host(own.answer(x.clone())), &host(hosted.answer(x)), GRADIENT);
        let left = gradients_of(&own, &names, widths[0], &device);
        let right = gradients_of(&hosted, &names, widths[0], &device);
        prop_assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
        prop_assert_eq!(left.len(), 2 * (widths.len() - 2));
        for (name, gradient) in &left {
            assert_close(name, gradient, &right[name], GRADIENT);
        }
    }

    #[test]
    fn folders_and_merging_keep_the_outputs_in_both(
        widths in prop::collection::vec(1usize..9, 3..6), rank in 1usize..4,
    ) {
        let device = Device::default().autodiff();
        let plain = Plain::new(&widths, &device);
        let fresh = plain.clone();
        survives(widths[0], rank, &device, || named(fresh.clone().own()).unwrap());
        survives(widths[0], rank, &device, || in_host(plain.clone()));
    }
}

fn in_host(plain: Plain) -> (Hosted<Plain>, ParamNames) {
    let (model, names) = hosted(plain).unwrap();
    (model.with_heads(["head"]), names)
}

/// Trained, then saved and loaded into a fresh model: the same outputs; merged: nearly; unmerged: the same.
fn survives<M: Answers>(
    width: usize,
    rank: usize,
    device: &Device,
    fresh: impl Fn() -> (M, ParamNames),
) {
    let (model, names) = fresh();
    let model = train(attached(model, &names, "first", rank), width, 3, device).valid();
    let x = inputs(5, width, &Device::default());
    let output = host(model.answer(x.clone()));
    let untouched = host(fresh().0.valid().answer(x.clone()));
    assert!(output != untouched);

    let dir = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "first", &spec(rank), dir.path()).unwrap();
    let (again, names) = fresh();
    let entries = [&LORA, &RSLORA];
    let again = folder::load(again, &names, "other", &entries, dir.path()).unwrap();
    assert_eq!(host(again.model.valid().answer(x.clone())), output);

    let merged = merge(model).unwrap();
    let after = host(merged.model().answer(x.clone()));
    assert_close("merged", &after, &output, MATMUL);
    assert_eq!(host(merged.unmerge().answer(x)), output);
}

/// Two adapters in one model: each alone, both added, none.
fn switches<M: Answers>(device: &Device, (model, names): (M, ParamNames)) {
    let model = train(attached(model, &names, "first", 2), 4, 3, device);
    let model = train(attached(model, &names, "second", 3), 4, 6, device).valid();
    let x = inputs(5, 4, &Device::default());
    let with = |weights: &[(&str, f64)]| {
        let model = select_adapters(model.clone(), weights).unwrap();
        let merged = merge(model.clone()).unwrap().into_model();
        let output = host(model.answer(x.clone()));
        assert_close("merged", &host(merged.answer(x.clone())), &output, MATMUL);
        output
    };
    let (none, first, second) = (with(&[]), with(&[("first", 1.0)]), with(&[("second", 1.0)]));
    assert!(first != second && first != none && second != none);
    let both = with(&[("first", 0.5), ("second", -1.5)]);
    assert!(both != first && both != second);
    assert_close(
        "nothing of both",
        &with(&[("first", 0.0)]),
        &none,
        ELEMENTWISE,
    );
}

#[test]
fn several_adapters_add_up_and_switch_in_both() {
    let device = Device::default().autodiff();
    let plain = Plain::new(&[4, 6, 5, 3], &device);
    switches(&device, named(plain.clone().own()).unwrap());
    switches(&device, in_host(plain));
}

#[test]
fn saved_modules_and_trained_biases_work_in_the_second_host() {
    let device = Device::default().autodiff();
    let plain = Plain::new(&[4, 6, 3], &device);
    let (model, names) = in_host(plain.clone());
    let spec = AdapterSpec {
        modules_to_save: vec!["head".into()],
        bias: peft_core::BiasTraining::LoraOnly,
        ..spec(2)
    };
    let (model, report) = attach(model, &names, "default", &spec, 0).unwrap();
    assert_eq!(report.saved, ["head.bias", "head.weight"]);
    assert_eq!(report.changed, ["layers.0.bias"]);
    let before = values(&model);
    let model = train(model, 4, 3, &device);
    let moved = values(&model)
        .into_iter()
        .filter(|(id, values)| before[id] != *values);
    assert_eq!(moved.count(), 5, "A, B, the bias, and the head's copy");
    let dir = tempfile::tempdir().unwrap();
    let model = model.valid();
    folder::save(&model, &names, "default", &spec, dir.path()).unwrap();
    let (fresh, names) = in_host(plain);
    let loaded = folder::load(fresh, &names, "default", &[&LORA, &RSLORA], dir.path()).unwrap();
    let x = inputs(3, 4, &Device::default());
    let output = host(model.answer(x.clone()));
    assert_eq!(host(loaded.model.valid().answer(x)), output);
}

fn values<M: Module>(model: &M) -> BTreeMap<ParamId, Vec<f32>> {
    #[derive(Default)]
    struct Values(BTreeMap<ParamId, Vec<f32>>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.insert(param.id, host(param.val()));
        }
    }
    let mut values = Values::default();
    model.visit(&mut values);
    values.0
}

#[test]
fn dropout_that_would_be_left_out_is_refused_in_training_and_read_from_folders() {
    fn spec_of(dropout: f64) -> AdapterSpec {
        AdapterSpec {
            method: Box::new(Lora {
                dropout,
                ..Lora::default()
            }),
            ..spec(2)
        }
    }
    fn attach_to<M: Module + ModuleDisplay>(plain: M) -> PeftError {
        let (model, names) = hosted(plain).unwrap();
        attach(model, &names, "default", &spec_of(0.1), 0).unwrap_err()
    }
    let device = Device::default().autodiff();
    let plain = Plain::new(&[4, 6, 3], &device);
    let error = attach_to(plain.clone()).to_string();
    assert!(error.contains("`dropout`"), "{error}");
    let (own, names) = named(plain.clone().own()).unwrap();
    let (own, _) = attach(own, &names, "default", &spec_of(0.1), 0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    folder::save(&own, &names, "default", &spec_of(0.1), dir.path()).unwrap();
    let (fresh, names) = in_host(plain);
    folder::load(fresh, &names, "default", &[&LORA, &RSLORA], dir.path()).unwrap();
}
