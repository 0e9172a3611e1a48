//! What the methods do with input that is wrong: an error that says what, where and what to do, and never a NaN.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use peft_core::file::{CONFIG_FILE, PeftConfig, TENSOR_FILE, read_folder, write_tensors};
use peft_core::testing::contract;
use peft_core::testing::tiny::{self, Tiny};
use peft_core::values::set_values;
use peft_core::{Method, MethodEntry, Pass, PeftError, folder};
use peft_decompose::Side;
use peft_decompose::bora::{BORA, Bora, Detach, Order};
use peft_decompose::dora::{DORA, Dora};
use peft_decompose::eva::EVA;
use peft_decompose::milora::{MILORA, Milora};
use peft_decompose::olora::{OLORA, Olora};
use peft_decompose::pissa::{PISSA, Pissa};
use peft_decompose::svfit::{SVFIT, Size, Svfit};
use serde_json::{Map, Value, json};

use peft_core::testing::case::host;
use support::{attach_to, case, spec};

const ALL: [&MethodEntry; 7] = [&DORA, &BORA, &SVFIT, &PISSA, &OLORA, &MILORA, &EVA];

fn methods() -> Vec<Box<dyn Method>> {
    vec![
        Box::new(Dora::default()),
        Box::new(Dora {
            axis: Side::Input,
            ..Dora::default()
        }),
        Box::new(Bora::default()),
        Box::new(Svfit::default()),
        Box::new(Pissa::default()),
        Box::new(Olora::default()),
        Box::new(Milora::default()),
    ]
}

/// A base whose first layer's weight is changed; index `[d_in, d_out]`.
fn base(change: impl Fn(usize, usize, f32) -> f32) -> (Tiny, peft_core::ParamNames) {
    let (model, names) = Tiny::new(&Device::default().autodiff());
    let (id, d_out) = (model.up().weight.id(), tiny::WIDTHS[1]);
    let mut values = contract::values(&model).remove(&id).unwrap();
    for (at, value) in values.iter_mut().enumerate() {
        *value = change(at / d_out, at % d_out, *value);
    }
    (set_values(model, BTreeMap::from([(id, values)])), names)
}

#[test]
fn a_base_with_nan_or_infinite_values_is_refused_by_name() {
    for broken in [f32::NAN, f32::INFINITY] {
        let (model, names) = base(|i, o, value| if (i, o) == (2, 3) { broken } else { value });
        for method in methods() {
            let error = attach_to(model.clone(), &names, method.as_ref()).unwrap_err();
            assert!(matches!(error, PeftError::Base { .. }), "{error}");
            let message = error.to_string();
            let id = method.entry().id;
            assert!(
                message.contains("layers.0.up_proj") && message.contains("NaN or infinite"),
                "{id}: {message}"
            );
        }
    }
}

#[test]
fn rows_and_columns_of_zeros_start_at_zero_and_train_without_a_nan() {
    let (model, names) = base(|i, o, value| if i == 1 || o == 4 { 0.0 } else { value });
    let detached = |detach| {
        [Order::RowsFirst, Order::ColumnsFirst].map(|order| -> Box<dyn Method> {
            Box::new(Bora {
                detach,
                order,
                ..Bora::default()
            })
        })
    };
    let mut all = methods();
    all.extend(detached(Detach::None));
    all.extend(detached(Detach::Both));
    for method in all {
        let device = Device::default().autodiff();
        let mut adapted = attach_to(model.clone(), &names, method.as_ref()).unwrap();
        let start = support::effective(adapted.valid().up());
        let zero = |part: Tensor<2>| host(part).iter().all(|value| value.abs() < 1e-6);
        assert!(zero(start.clone().slice([0..6, 4..5])), "{method:?}");
        assert!(zero(start.slice([1..2, 0..10])), "{method:?}");
        let mut optimizer = AdamWConfig::new().init();
        for _ in 0..3 {
            let y = adapted.forward(tiny::inputs(6, &device), &mut Pass::train(0));
            let loss = tiny::loss(y, tiny::targets(6, &device));
            let grads = GradientsParams::from_grads(loss.backward(), &adapted);
            adapted = optimizer.step(1e-2, adapted, grads);
        }
        for values in contract::values(&adapted).into_values() {
            assert!(values.iter().all(|v| v.is_finite()), "{method:?}");
        }
        let y = adapted.forward(tiny::inputs(6, &device), &mut Pass::eval());
        assert!(host(y).iter().all(|v| v.is_finite()), "{method:?}");
    }
}

#[test]
fn a_size_beyond_the_weight_is_refused_with_the_limit() {
    let methods: [Box<dyn Method>; 4] = [
        Box::new(Svfit {
            k: Size::Rank,
            ..Svfit::default()
        }),
        Box::new(Pissa::default()),
        Box::new(Olora::default()),
        Box::new(Milora::default()),
    ];
    for method in methods {
        let (model, names) = Tiny::new(&Device::default());
        let spec = peft_core::AdapterSpec {
            rank: 7,
            ..spec(method.as_ref())
        };
        let error = peft_core::attach(model, &names, "default", &spec, 1).unwrap_err();
        let PeftError::Rank { site, rank, limit } = &error else {
            panic!("{error}");
        };
        assert_eq!((site.as_str(), *rank, *limit), ("layers.0.up_proj", 7, 6));
    }
}

#[test]
fn options_out_of_range_and_unknown_ones_are_refused_by_name() {
    let refused = |entry: &MethodEntry, option: &str, value: Value| {
        let options = Map::from_iter([(option.to_owned(), value)]);
        let message = (entry.from_options)(&options).unwrap_err().to_string();
        assert!(
            message.contains(entry.id) && message.contains(option),
            "{message}"
        );
    };
    for entry in ALL {
        refused(entry, "dropout", json!(1.0));
        refused(entry, "dropout", json!(-0.1));
        refused(entry, "dropuot", json!(0.1));
    }
    refused(&SVFIT, "share", json!(0.0));
    refused(&SVFIT, "share", json!(1.5));
    refused(&EVA, "rho", json!(0.9));
    refused(&EVA, "tau", json!(1.1));
    refused(&EVA, "batches", json!(0));
    for (entry, option) in [(&DORA, "axis"), (&BORA, "order"), (&SVFIT, "k")] {
        let options = Map::from_iter([(option.to_owned(), json!("sideways"))]);
        let message = (entry.from_options)(&options).unwrap_err().to_string();
        assert!(message.contains("sideways"), "{message}");
    }
}

#[test]
fn the_defaults_of_every_method_are_valid_options() {
    for entry in ALL {
        let method = (entry.from_options)(&(entry.default_options)()).unwrap();
        assert_eq!(method.entry().id, entry.id);
    }
}

#[test]
fn an_svfit_folder_is_refused_over_another_base() {
    for name in ["svfit", "svfit-vectors"] {
        let case = case("svfit", name);
        let (model, names) = case.base(&Device::default());
        let id = model.layers[0].weight.id();
        let mut values = contract::values(&model).remove(&id).unwrap();
        values[5] += 1e-6;
        let other = set_values(model, BTreeMap::from([(id, values)]));
        let error = folder::load(other, &names, "default", &[&SVFIT], &case.folder).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("`linear`: made for another base model"),
            "{message}"
        );
    }
}

#[test]
fn a_bora_folder_without_magnitudes_is_refused_with_every_missing_tensor() {
    let case = case("bora", "bora");
    let (model, names) = case.base(&Device::default());
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(case.folder.join(CONFIG_FILE), dir.path().join(CONFIG_FILE)).unwrap();
    let mut tensors = read_folder(&case.folder).unwrap().tensors;
    tensors.retain(|name, _| !name.contains("magnitude"));
    write_tensors(&dir.path().join(TENSOR_FILE), &tensors).unwrap();
    let error = folder::load(model, &names, "default", &[&BORA], dir.path()).unwrap_err();
    let message = error.to_string();
    for missing in ["bora_magnitude_rows", "bora_magnitude_columns"] {
        let line = format!("`linear.{missing}`: missing, expected");
        assert!(message.contains(&line), "{message}");
    }
}

#[test]
fn folders_of_a_later_format_or_an_unrepeatable_start_are_refused() {
    let config = |fields: Value| {
        let fields = fields.as_object().unwrap().clone();
        PeftConfig::from_map(fields).unwrap()
    };
    for kind in ["BORA", "SVFIT"] {
        let later = config(json!({
            "peft_type": kind, "format_version": 2, "target_modules": ["q"],
        }));
        let error = MethodEntry::find(&ALL, &later).unwrap_err().to_string();
        assert!(
            error.contains("format_version") && error.contains('2'),
            "{error}"
        );
    }
    let random = config(json!({
        "peft_type": "LORA", "init_lora_weights": "pissa_niter_4", "target_modules": ["q"],
    }));
    assert!(MethodEntry::find(&ALL, &random).is_err());
    let biased = config(json!({
        "peft_type": "LORA", "init_lora_weights": "pissa", "lora_bias": true, "target_modules": ["q"],
    }));
    let error = MethodEntry::find(&ALL, &biased).unwrap_err().to_string();
    assert!(
        error.contains("lora_bias") && !error.contains("init_lora"),
        "{error}"
    );
}
