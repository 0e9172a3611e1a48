//! Several adapters in one model: alone, switched, summed, one per row, with heads of their own.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use peft_core::lora::{LORA, RSLORA};
use peft_core::merge::merge;
use peft_core::target::TargetRules;
use peft_core::testing::contract::{train, values};
use peft_core::testing::tiny::{self, Tiny};
use peft_core::testing::tolerance::{ELEMENTWISE, MATMUL, assert_close};
use peft_core::{
    AdapterSpec, BiasTraining, MethodEntry, ParamNames, Pass, PeftError, RowAdapters, Trainable,
    attach, detach, folder, layer_status, require_adapters, select_adapters,
};

const ENTRIES: [&MethodEntry; 2] = [&LORA, &RSLORA];
const ROWS: usize = 9;

fn spec(rank: usize, targets: &[&str]) -> AdapterSpec {
    AdapterSpec {
        rank,
        targets: TargetRules::list(targets.iter().copied()),
        modules_to_save: vec!["classifier".into()],
        ..AdapterSpec::default()
    }
}

/// A folder with a trained adapter and head.
fn trained(rank: usize, targets: &[&str], seed: u64) -> tempfile::TempDir {
    let device = Device::default().autodiff();
    let (model, names) = Tiny::new(&device);
    let spec = spec(rank, targets);
    let (model, _) = attach(model, &names, "default", &spec, seed).unwrap();
    let mut optimizer = AdamWConfig::new().init();
    let model = train(model, &mut optimizer, 5);
    let dir = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "default", &spec, dir.path()).unwrap();
    dir
}

fn folders() -> [tempfile::TempDir; 3] {
    [
        trained(2, &["up_proj", "down_proj"], 1),
        trained(3, &["up_proj"], 2),
        trained(1, &["down_proj"], 3),
    ]
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn with_all(folders: &[tempfile::TempDir; 3]) -> (Tiny, ParamNames) {
    let (mut model, names) = Tiny::new(&Device::default());
    for (name, dir) in NAMES.iter().zip(folders) {
        model = folder::load(model, &names, name, &ENTRIES, dir.path())
            .unwrap()
            .model;
    }
    (model, names)
}

fn alone(dir: &tempfile::TempDir) -> Tiny {
    let (model, names) = Tiny::new(&Device::default());
    folder::load(model, &names, "default", &ENTRIES, dir.path())
        .unwrap()
        .model
}

fn host(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn run(model: &Tiny, pass: &mut Pass<'_>) -> Vec<f32> {
    host(model.forward(tiny::inputs(ROWS, &Device::default()), pass))
}

fn base() -> Vec<f32> {
    run(&Tiny::new(&Device::default()).0, &mut Pass::eval())
}

#[test]
fn each_of_three_adapters_answers_as_it_does_alone_and_brings_its_own_head() {
    let folders = folders();
    let (model, _) = with_all(&folders);
    let mut seen = vec![base()];
    for (name, dir) in NAMES.iter().zip(&folders) {
        let selected = select_adapters(model.clone(), &[(name, 1.0)]).unwrap();
        let output = run(&selected, &mut Pass::eval());
        assert_eq!(output, run(&alone(dir), &mut Pass::eval()), "{name}");
        assert!(!seen.contains(&output), "{name} differs from all others");
        seen.push(output);
    }
    let none = select_adapters(model.clone(), &[]).unwrap();
    assert_eq!(
        run(&none, &mut Pass::eval()),
        base(),
        "the base, bit for bit"
    );
    let removed = detach(detach(model, "a").unwrap(), "c").unwrap();
    let left = select_adapters(removed, &[("b", 1.0)]).unwrap();
    assert_eq!(run(&left, &mut Pass::eval()), seen[2]);
    assert!(matches!(
        require_adapters(&left, &["a"]),
        Err(PeftError::UnknownAdapter { .. })
    ));
}

#[test]
fn rows_of_a_batch_go_through_different_adapters_and_the_base() {
    let folders = folders();
    let (model, _) = with_all(&folders);
    let expected = |row: Option<&str>| match row {
        None => base(),
        Some(name) => {
            let selected = select_adapters(model.clone(), &[(name, 1.0)]).unwrap();
            run(&selected, &mut Pass::eval())
        }
    };
    let mixed = [
        Some("a"),
        None,
        Some("c"),
        Some("a"),
        Some("b"),
        None,
        Some("b"),
        Some("c"),
        Some("a"),
    ];
    let sorted = [
        Some("b"),
        Some("b"),
        None,
        None,
        None,
        Some("a"),
        Some("c"),
        Some("c"),
        Some("c"),
    ];
    for rows in [mixed, sorted, [None; ROWS], [Some("c"); ROWS]] {
        let adapters = RowAdapters::new(&rows, &Device::default());
        let output = run(&model, &mut Pass::eval().with_rows(&adapters));
        let width = output.len() / ROWS;
        for (at, row) in rows.iter().enumerate() {
            let (from, to) = (at * width, (at + 1) * width);
            let what = format!("row {at} through {row:?}");
            assert_close(
                &what,
                &output[from..to],
                &expected(*row)[from..to],
                ELEMENTWISE,
            );
        }
    }
}

#[test]
fn each_row_of_a_batch_of_sequences_keeps_its_adapter_over_all_positions() {
    let folders = folders();
    let (model, _) = with_all(&folders);
    let layer = model.up();
    let device = Device::default();
    let x: Tensor<3> = tiny::inputs(12, &device).reshape([3, 4, tiny::WIDTHS[0]]);
    let rows = RowAdapters::new(&[Some("b"), None, Some("a")], &device);
    let together = layer.forward(x.clone(), &mut Pass::eval().with_rows(&rows));
    for (row, name) in ["b", "", "a"].iter().enumerate() {
        let mut layer = layer.clone();
        layer.activate(&[(name, 1.0)]);
        let range = [row..row + 1, 0..4, 0..tiny::WIDTHS[1]];
        let expected = layer
            .forward(x.clone(), &mut Pass::eval())
            .slice(range.clone());
        let found = together.clone().slice(range);
        let host = |tensor: Tensor<3>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
        assert_close(
            &format!("row {row}"),
            &host(found),
            &host(expected),
            ELEMENTWISE,
        );
    }
}

#[test]
fn gradients_of_rows_reach_their_own_adapters_only() {
    let device = Device::default().autodiff();
    let (model, names) = Tiny::new(&device);
    let (model, _) = attach(model, &names, "a", &spec(2, &["up_proj"]), 1).unwrap();
    let (model, _) = attach(model, &names, "b", &spec(2, &["up_proj"]), 2).unwrap();
    let trainable = Trainable::of(&model, &names);
    let rows = RowAdapters::new(&[None, Some("b"), Some("b"), None], &device);
    let output = model.forward(
        tiny::inputs(4, &device),
        &mut Pass::train(0).with_rows(&rows),
    );
    let loss = tiny::loss(output, tiny::targets(4, &device));
    let grads = GradientsParams::from_grads(loss.backward(), &model);
    assert_eq!(grads.len(), trainable.params.len());
    assert!(
        trainable
            .params
            .iter()
            .all(|param| param.name.contains("up_proj") || param.name.contains("classifier"))
    );
}

#[test]
fn a_sum_adds_the_deltas_of_each_adapter_with_its_weight() {
    let folders = folders();
    let (model, _) = with_all(&folders);
    let x = tiny::inputs(ROWS, &Device::default());
    let layer = |weights: &[(&str, f64)]| {
        let model = select_adapters(model.clone(), weights).unwrap();
        host(model.up().forward(x.clone(), &mut Pass::eval()))
    };
    let (zero, a, b) = (layer(&[]), layer(&[("a", 1.0)]), layer(&[("b", 1.0)]));
    let sum = layer(&[("a", 0.5), ("b", -2.0)]);
    let expected: Vec<f32> = zero
        .iter()
        .zip(a.iter().zip(&b))
        .map(|(zero, (a, b))| zero + 0.5 * (a - zero) - 2.0 * (b - zero))
        .collect();
    assert_close("0.5 a - 2 b", &sum, &expected, MATMUL);
}

#[test]
fn merging_folds_a_trained_head_in_with_its_bias_and_unmerging_brings_the_base_back() {
    let [dir, _, _] = folders();
    let model = alone(&dir);
    let expected = run(&model, &mut Pass::eval());
    let before = values(&model);
    let merged = merge(model).unwrap();
    assert_eq!(merged.sites.len(), 3, "two adapted layers and the head");
    assert_close(
        "merged",
        &run(merged.model(), &mut Pass::eval()),
        &expected,
        MATMUL,
    );
    assert_eq!(values(&merged.unmerge()), before);
}

#[test]
fn the_status_of_each_layer_names_its_adapters() {
    let folders = folders();
    let (model, _) = with_all(&folders);
    let model = select_adapters(model, &[("a", 0.25)]).unwrap();
    let status = layer_status(&model);
    let paths: Vec<&str> = status.iter().map(|layer| layer.path.as_str()).collect();
    assert_eq!(
        paths,
        ["layers.0.up_proj", "layers.1.down_proj", "classifier"]
    );
    let names = |layer: usize| -> Vec<(&str, Option<f64>)> {
        let adapters = status[layer].adapters.iter();
        adapters
            .map(|adapter| (adapter.name.as_str(), adapter.weight))
            .collect()
    };
    assert_eq!(names(0), [("a", Some(0.25)), ("b", None)]);
    assert_eq!(names(1), [("a", Some(0.25)), ("c", None)]);
    assert_eq!(names(2), [("a", Some(0.25)), ("b", None), ("c", None)]);
    let first = &status[0].adapters[0];
    assert_eq!(first.tensors, ["lora_A.weight", "lora_B.weight"]);
    assert_eq!(first.parameters, 2 * (tiny::WIDTHS[0] + tiny::WIDTHS[1]));
}

#[test]
fn an_adapter_that_changes_the_base_shares_no_model() {
    let [dir, _, _] = folders();
    let model = alone(&dir);
    let names = Tiny::new(&Device::default()).1;
    let spec = AdapterSpec {
        bias: BiasTraining::All,
        ..spec(1, &["up_proj"])
    };
    let error = attach(model, &names, "other", &spec, 1).unwrap_err();
    assert!(
        matches!(&error, PeftError::ChangesBase { parameter, .. } if parameter.ends_with(".bias")),
        "{error}"
    );
}

#[test]
fn trained_biases_move_and_travel_with_the_adapter() {
    for (bias, expected) in [
        (
            BiasTraining::All,
            &["layers.0.up_proj.bias", "layers.1.down_proj.bias"][..],
        ),
        (BiasTraining::LoraOnly, &["layers.0.up_proj.bias"][..]),
    ] {
        let device = Device::default().autodiff();
        let (model, names) = Tiny::new(&device);
        let spec = AdapterSpec {
            bias,
            ..spec(2, &["up_proj"])
        };
        let (model, report) = attach(model, &names, "default", &spec, 1).unwrap();
        let mut changed = report.changed.clone();
        changed.sort();
        assert_eq!(changed, expected);
        let mut optimizer = AdamWConfig::new().init();
        let model = train(model, &mut optimizer, 3).valid();
        let output = run(&model, &mut Pass::eval());
        let dir = tempfile::tempdir().unwrap();
        folder::save(&model, &names, "default", &spec, dir.path()).unwrap();
        let (fresh, names) = Tiny::new(&Device::default());
        let loaded = folder::load(fresh, &names, "again", &ENTRIES, dir.path()).unwrap();
        assert_eq!(loaded.spec.bias, bias);
        assert_eq!(run(&loaded.model, &mut Pass::eval()), output);
        let file = peft_core::file::read_folder(dir.path()).unwrap();
        assert!(
            file.tensors
                .contains_key("base_model.model.layers.0.up_proj.base_layer.bias")
        );
    }
}
