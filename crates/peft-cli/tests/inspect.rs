//! `peft inspect`: adapter folders with and without their base model.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::collections::BTreeMap;
use std::path::Path;

use binary::{failure, model, printed, stdout};
use peft_core::file::{AdapterFolder, HostTensor, read_folder, write_folder};
use peft_core::testing::outside::data;

/// The adapter that Python PEFT made for the tiny BERT.
fn golden() -> (String, String) {
    let bert = model("bert");
    (format!("{bert}/adapter"), bert)
}

/// A copy of the tiny BERT's adapter with changes.
fn changed(dir: &Path, change: impl FnOnce(&mut AdapterFolder)) -> String {
    let mut folder = read_folder(Path::new(&golden().0)).unwrap();
    change(&mut folder);
    write_folder(dir, &folder.config.raw, &folder.tensors).unwrap();
    dir.to_str().unwrap().to_owned()
}

fn key<'a>(tensors: &'a BTreeMap<String, HostTensor>, end: &str) -> &'a String {
    tensors.keys().find(|key| key.ends_with(end)).unwrap()
}

/// `||scale B A||_F` by the dense product of a file's factors.
fn dense_norm(a: &HostTensor, b: &HostTensor, scale: f64) -> f64 {
    let (rank, d_in, d_out) = (a.shape[0], a.shape[1], b.shape[0]);
    let mut sum = 0.0;
    for row in 0..d_out {
        for column in 0..d_in {
            let product =
                |k: usize| f64::from(b.data[row * rank + k]) * f64::from(a.data[k * d_in + column]);
            sum += (0..rank).map(product).sum::<f64>().powi(2);
        }
    }
    scale * sum.sqrt()
}

const QUERY: &str = "layer.0.attention.self.query";

#[test]
fn a_folder_is_described_without_its_base_model() {
    let (adapter, _) = golden();
    let folder = read_folder(Path::new(&adapter)).unwrap();
    let report = printed(&["inspect", &adapter]);
    assert_eq!(
        (report["method"].as_str(), report["rank"].as_u64()),
        (Some("lora"), Some(4))
    );
    let values: usize = folder
        .tensors
        .values()
        .map(|tensor| tensor.data.len())
        .sum();
    assert_eq!(report["parameters"], values);
    let bytes = std::fs::metadata(Path::new(&adapter).join("adapter_model.safetensors"))
        .unwrap()
        .len();
    assert_eq!(report["file_bytes"], bytes);
    let sites = report["sites"].as_array().unwrap();
    assert_eq!(sites.len(), 13);
    let site = sites
        .iter()
        .find(|site| site["path"].as_str().unwrap().ends_with(QUERY))
        .unwrap();
    let pair = &site["pairs"][0];
    assert_eq!(pair["scale"], 2.0);
    let a = &folder.tensors[key(&folder.tensors, &format!("{QUERY}.lora_A.weight"))];
    let b = &folder.tensors[key(&folder.tensors, &format!("{QUERY}.lora_B.weight"))];
    let expected = dense_norm(a, b, 2.0);
    assert!(expected > 1e-3);
    let found = pair["norm_update"].as_f64().unwrap();
    assert!(
        (found - expected).abs() < 1e-9 * expected,
        "{found} {expected}"
    );
    assert_eq!(
        (site["d_in"].as_u64(), site["d_out"].as_u64()),
        (Some(32), Some(32))
    );
    let saved: Vec<&str> = report["other_tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tensor| tensor["name"].as_str().unwrap())
        .collect();
    assert_eq!(saved, ["classifier.bias", "classifier.weight"]);
    let text = stdout(&["inspect", &adapter]);
    assert!(
        text.contains("lora") && text.contains(QUERY) && text.contains("0 NaN"),
        "{text}"
    );
}

#[test]
fn an_adapter_that_fits_its_model_loads() {
    let (adapter, bert) = golden();
    let fit = printed(&["inspect", &adapter, "--model", &bert])["fit"].clone();
    assert_eq!(fit["loads"], true, "{fit}");
    for list in [
        "problems",
        "missing_sites",
        "unexpected_sites",
        "unmatched_targets",
    ] {
        assert_eq!(fit[list].as_array().unwrap().len(), 0, "{list}: {fit}");
    }
}

#[test]
fn patterns_change_rank_alpha_and_scale_of_their_sites() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = changed(dir.path(), |folder| {
        folder
            .config
            .raw
            .insert("alpha_pattern".into(), serde_json::json!({QUERY: 2}));
        folder.config.raw.insert("use_rslora".into(), true.into());
    });
    let report = printed(&["inspect", &adapter]);
    assert_eq!(report["method"], "rslora");
    let scale = |end: &str| {
        let sites = report["sites"].as_array().unwrap();
        let site = sites
            .iter()
            .find(|site| site["path"].as_str().unwrap().ends_with(end))
            .unwrap();
        site["pairs"][0]["scale"].as_f64().unwrap()
    };
    assert_eq!(
        (scale(QUERY), scale("layer.1.attention.self.query")),
        (1.0, 4.0)
    );
}

#[test]
fn broken_values_and_untrained_sites_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = changed(dir.path(), |folder| {
        let b = key(&folder.tensors, &format!("{QUERY}.lora_B.weight")).clone();
        folder.tensors.get_mut(&b).unwrap().data.fill(0.0);
        let a = key(&folder.tensors, "layer.1.output.dense.lora_A.weight").clone();
        let data = &mut folder.tensors.get_mut(&a).unwrap().data;
        (data[0], data[5], data[6]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        folder
            .config
            .raw
            .insert("lora_flavour".into(), "plum".into());
        folder.config.raw.insert("lora_bias".into(), true.into());
    });
    let report = printed(&["inspect", &adapter]);
    assert_eq!(
        (report["nan"].as_u64(), report["infinite"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(
        report["unknown_fields"],
        serde_json::json!(["lora_flavour"])
    );
    assert!(
        report["unsupported"][0]
            .as_str()
            .unwrap()
            .contains("`lora_bias` = true"),
        "{report}"
    );
    let zero: Vec<&str> = report["sites"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|site| site["pairs"][0]["b_is_zero"] == true)
        .map(|site| site["path"].as_str().unwrap())
        .collect();
    assert_eq!(zero, [format!("bert.encoder.{QUERY}")]);
    let text = String::from_utf8(binary::peft(&["inspect", &adapter]).stdout).unwrap();
    for part in [
        "1 NaN, 2 infinite",
        "A or B is all zero at 1 of 13",
        "lora_flavour",
        "merge the adapter in Python",
    ] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
}

#[test]
fn what_does_not_fit_the_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = changed(dir.path(), |folder| {
        let missing = key(&folder.tensors, &format!("{QUERY}.lora_B.weight")).clone();
        folder.tensors.remove(&missing);
        let whole = "layer.1.attention.self.key";
        folder.tensors.retain(|key, _| !key.contains(whole));
        let misshaped = key(
            &folder.tensors,
            "layer.1.attention.self.value.lora_A.weight",
        )
        .clone();
        folder.tensors.insert(
            misshaped,
            HostTensor::new("a", [4, 16], vec![0.5; 64]).unwrap(),
        );
        for (name, shape) in [("lora_A", [4, 32]), ("lora_B", [32, 4])] {
            let key = format!("base_model.model.bert.encoder.layer.7.output.dense.{name}.weight");
            folder
                .tensors
                .insert(key, HostTensor::new(name, shape, vec![0.5; 128]).unwrap());
        }
    });
    let alone = printed(&["inspect", &adapter]);
    let problem = alone["problems"][0].as_str().unwrap();
    assert!(
        problem.contains(QUERY) && problem.contains("`lora_B.weight` is missing"),
        "{problem}"
    );
    let fit = printed(&["inspect", &adapter, "--model", &golden().1])["fit"].clone();
    assert_eq!(fit["loads"], false);
    assert_eq!(
        fit["missing_sites"],
        serde_json::json!(["bert.encoder.layer.1.attention.self.key"])
    );
    assert_eq!(
        fit["unexpected_sites"],
        serde_json::json!(["bert.encoder.layer.7.output.dense"])
    );
    let problems = fit["problems"].to_string();
    for part in [
        "query.lora_B.weight`: missing",
        "expected [4, 32], found [4, 16]",
        "layer.7.output.dense",
    ] {
        assert!(problems.contains(part), "`{part}` in {problems}");
    }
}

#[test]
fn a_folder_of_an_unknown_method_is_still_described() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = changed(dir.path(), |folder| {
        folder
            .config
            .raw
            .insert("peft_type".into(), "JUGGLING".into());
    });
    let report = printed(&["inspect", &adapter]);
    assert_eq!(
        (&report["method"], &report["rank"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert_eq!(report["other_tensors"].as_array().unwrap().len(), 28);
    assert!(
        report["unsupported"][0]
            .as_str()
            .unwrap()
            .contains("JUGGLING"),
        "{report}"
    );
    let fit = printed(&["inspect", &adapter, "--model", &golden().1])["fit"].clone();
    assert!(
        fit["loads"] == false && fit["problems"][0].as_str().unwrap().contains("JUGGLING"),
        "{fit}"
    );
}

/// Folders that cannot be read, and a part of the reason.
const BROKEN: [(&str, &str); 4] = [
    ("negative-01", "interrupted"),
    ("broken-lfs-pointer", "Git LFS pointer"),
    ("broken-mock-22-bytes", "22 bytes"),
    ("roberta-loralib-mnli", "loralib checkpoint"),
];

#[test]
fn published_adapters_are_described_and_broken_ones_refused_with_the_way_out() {
    let Some(adapters) = data("adapters") else {
        return;
    };
    let (mut described, mut refused) = (0, 0);
    for entry in std::fs::read_dir(&adapters).unwrap() {
        let dir = entry.unwrap().path();
        let path = dir.to_str().unwrap();
        if let Some((_, reason)) = BROKEN.iter().find(|(name, _)| dir.ends_with(name)) {
            let (code, error) = failure(&["inspect", path]);
            assert!(code == 1 && error.contains(reason), "{path}: {error}");
            refused += 1;
            continue;
        }
        if !dir.is_dir() {
            continue;
        }
        let report = printed(&["inspect", path]);
        assert_eq!(report["method"], "lora", "{path}");
        assert_eq!(
            report["problems"].as_array().unwrap().len(),
            0,
            "{path}: {}",
            report["problems"]
        );
        let sites = report["sites"].as_array().unwrap();
        assert!(!sites.is_empty(), "{path}");
        for site in sites {
            let norm = site["pairs"][0]["norm_update"].as_f64().unwrap();
            assert!(
                norm.is_finite() && site["d_in"].as_u64().unwrap() > 0,
                "{path}: {site}"
            );
        }
        described += 1;
    }
    assert_eq!((described, refused), (18, 4));
}
