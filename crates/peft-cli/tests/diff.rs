//! `peft diff`: equal adapters are equal in whatever form, and differences are those of the dense updates.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::{json, model, stdout};
use peft_core::file::{AdapterFolder, HostTensor, read_folder, write_folder};
use peft_core::testing::outside::data;

fn golden() -> String {
    format!("{}/adapter", model("bert"))
}

fn changed(dir: &Path, change: impl FnOnce(&mut AdapterFolder)) -> String {
    let mut folder = read_folder(Path::new(&golden())).unwrap();
    change(&mut folder);
    write_folder(dir, &folder.config.raw, &folder.tensors).unwrap();
    dir.to_str().unwrap().to_owned()
}

const QUERY: &str = "base_model.model.bert.encoder.layer.0.attention.self.query";

/// `B A` of a file's factors.
fn dense(folder: &AdapterFolder) -> Vec<f64> {
    let [a, b] = ["A", "B"].map(|factor| &folder.tensors[&format!("{QUERY}.lora_{factor}.weight")]);
    let (rank, d_in, d_out) = (a.shape[0], a.shape[1], b.shape[0]);
    let entry = |at: usize| {
        let (row, column) = (at / d_in, at % d_in);
        (0..rank)
            .map(|k| f64::from(b.data[row * rank + k]) * f64::from(a.data[k * d_in + column]))
            .sum()
    };
    (0..d_in * d_out).map(entry).collect()
}

fn inner(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

fn norm(values: &[f64]) -> f64 {
    inner(values, values).sqrt()
}

#[test]
fn the_pickled_and_the_safetensors_twin_are_equal() {
    let Some(adapters) = data("adapters") else {
        return;
    };
    let path = |name: &str| adapters.join(name).to_str().unwrap().to_owned();
    let (pickled, plain) = (path("bert-base-uncased-01"), path("bert-base-uncased-02"));
    let twins = json(&["diff", &pickled, &plain]);
    assert_eq!(twins["equal"], true, "{twins}");
    assert_eq!(
        (
            twins["largest"].as_f64(),
            twins["sites"].as_array().unwrap().len()
        ),
        (Some(0.0), 24)
    );
    let others = json(&["diff", &path("gpt2-02"), &path("gpt2-07")]);
    assert_eq!(others["equal"], false);
    assert!(others["largest"].as_f64().unwrap() > 0.1, "{others}");
    let angles = |report: &serde_json::Value, side: &str| -> Vec<f64> {
        let angles = report["sites"][0][side].as_array().unwrap();
        angles.iter().map(|angle| angle.as_f64().unwrap()).collect()
    };
    for side in ["angles_a", "angles_b"] {
        let (same, apart) = (angles(&twins, side), angles(&others, side));
        assert!(same.iter().all(|angle| *angle < 1e-6), "{same:?}");
        assert!(apart.iter().all(|angle| *angle > 1.0), "{apart:?}");
        assert_eq!(apart.len(), 8);
    }
}

#[test]
fn the_difference_from_factors_is_that_of_the_dense_updates() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |folder| {
        folder
            .tensors
            .get_mut(&format!("{QUERY}.lora_A.weight"))
            .unwrap()
            .data[5] += 0.75;
        folder
            .tensors
            .get_mut("base_model.model.classifier.bias")
            .unwrap()
            .data[0] += 1.0;
        folder.config.raw.insert("lora_dropout".into(), 0.25.into());
    });
    let (left, right) = (
        read_folder(Path::new(&golden())).unwrap(),
        read_folder(dir.path()).unwrap(),
    );
    let (left, right) = (dense(&left), dense(&right));
    let gap: Vec<f64> = left
        .iter()
        .zip(&right)
        .map(|(left, right)| left - right)
        .collect();
    let report = json(&["diff", &golden(), &path]);
    assert_eq!(report["equal"], false);
    let sites = report["sites"].as_array().unwrap();
    let changed: Vec<_> = sites
        .iter()
        .filter(|site| site["relative_difference"].as_f64().unwrap() > 1e-12)
        .collect();
    assert_eq!(changed.len(), 1, "{report}");
    let close = |field: &str, expected: f64| {
        let found = changed[0][field].as_f64().unwrap();
        assert!(
            (found - expected).abs() < 1e-9 * expected.abs(),
            "{field}: {found} {expected}"
        );
    };
    close(
        "relative_difference",
        norm(&gap) / norm(&left).max(norm(&right)),
    );
    close(
        "cosine",
        inner(&left, &right) / (norm(&left) * norm(&right)),
    );
    assert_eq!(
        report["config"],
        serde_json::json!([{"field": "lora_dropout", "a": 0.0, "b": 0.25}])
    );
    assert_eq!(report["tensors"][0]["name"], "classifier.bias");
    assert!(
        report["tensors"][0]["relative_difference"]
            .as_f64()
            .unwrap()
            > 0.0
    );
}

#[test]
fn the_text_names_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |folder| {
        let bias = "base_model.model.classifier.bias";
        folder.tensors.get_mut(bias).unwrap().data[0] += 1.0;
        folder.config.raw.insert("lora_dropout".into(), 0.25.into());
    });
    let text = stdout(&["diff", &golden(), &path]);
    assert!(
        text.contains("config `lora_dropout`: 0.0 / 0.25")
            && text.contains("tensor classifier.bias"),
        "{text}"
    );
}

#[test]
fn layers_that_only_one_side_adapts_and_another_scale_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |folder| {
        folder.tensors.retain(|key, _| !key.starts_with(QUERY));
        folder.config.raw.insert("lora_alpha".into(), 16.into());
        let extra = [("A", [4, 32]), ("B", [32, 4])];
        for (factor, shape) in extra {
            let tensor = HostTensor::new("x", shape, vec![0.5; 128]).unwrap();
            folder.tensors.insert(
                format!("base_model.model.extra.lora_{factor}.weight"),
                tensor,
            );
        }
    });
    let report = json(&["diff", &golden(), &path]);
    assert_eq!(
        report["only_in_a"],
        serde_json::json!(["bert.encoder.layer.0.attention.self.query"])
    );
    assert_eq!(report["only_in_b"], serde_json::json!(["extra"]));
    let site = &report["sites"][0];
    assert!(
        (site["relative_difference"].as_f64().unwrap() - 0.5).abs() < 1e-9,
        "{site}"
    );
    assert!(
        (site["cosine"].as_f64().unwrap() - 1.0).abs() < 1e-9,
        "{site}"
    );
    assert_eq!(json(&["diff", &golden(), &golden()])["equal"], true);
}
