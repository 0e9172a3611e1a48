//! Adapter folders of mlx-lm to PEFT and back, by tensors and by updates.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use faer::Mat;
use peft_core::file::{HostTensor, StoredDtype, read_config, read_tensors, write_tensors};
use peft_recycle::Pool;
use peft_recycle::mlx::{MLX_TENSOR_FILE, MlxError, MlxNote, from_peft, to_peft};
use serde_json::{Value, json};
use support::{Adapter, SITES, distance};

type Tensors = BTreeMap<String, HostTensor>;

fn tensor(shape: &[usize], seed: u64) -> HostTensor {
    let count = shape.iter().product();
    let values = support::random(count, 1, seed);
    let data = (0..count).map(|at| values[(at, 0)] as f32).collect();
    HostTensor::new("x", shape, data).unwrap()
}

/// An adapter as mlx-lm writes it, of rank 3.
fn mlx_folder(root: &Path, dora: bool) -> (PathBuf, Tensors) {
    let mut tensors = Tensors::new();
    for (at, (d_in, d_out)) in [(8, 6), (6, 8)].into_iter().enumerate() {
        let site = format!("model.layers.{at}.self_attn.q_proj");
        let seed = 10 * at as u64;
        tensors.insert(format!("{site}.lora_a"), tensor(&[d_in, 3], seed));
        tensors.insert(format!("{site}.lora_b"), tensor(&[3, d_out], seed + 1));
        if dora {
            tensors.insert(format!("{site}.m"), tensor(&[d_out], seed + 2));
        }
    }
    let config = json!({
        "fine_tune_type": if dora { "dora" } else { "lora" },
        "num_layers": 2, "iters": 100, "model": "some/base",
        "lora_parameters": {"rank": 3, "scale": 0.1, "dropout": 0.05, "keys": ["self_attn.q_proj"]},
    });
    (write_mlx(root, &config, &tensors), tensors)
}

fn write_mlx(folder: &Path, config: &Value, tensors: &Tensors) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    write_tensors(&folder.join(MLX_TENSOR_FILE), tensors).unwrap();
    folder.to_owned()
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap()
}

/// `scale lora_b^T lora_a^T` of a module, as mlx-lm fuses it.
fn fused(folder: &Path, site: &str) -> Mat<f64> {
    let tensors = read_tensors(&folder.join(MLX_TENSOR_FILE)).unwrap();
    let matrix = |name: &str| {
        let tensor = &tensors[&format!("{site}.{name}")];
        let width = tensor.shape[1];
        Mat::from_fn(tensor.shape[0], width, |row, column| {
            f64::from(tensor.data[row * width + column])
        })
    };
    let scale = config(folder)["lora_parameters"]["scale"].as_f64().unwrap();
    matrix("lora_b").transpose() * matrix("lora_a").transpose() * faer::Scale(scale)
}

#[test]
fn to_peft_and_back_is_the_identity() {
    let root = tempfile::tempdir().unwrap();
    for dora in [false, true] {
        let name = |part: &str| root.path().join(format!("{part}-{dora}"));
        let (folder, mut tensors) = mlx_folder(&name("mlx"), dora);
        for tensor in tensors.values_mut() {
            for value in &mut tensor.data {
                *value = f32::from_bits(value.to_bits() & 0xffff_0000);
            }
            tensor.stored = StoredDtype::Bf16;
        }
        write_tensors(&folder.join(MLX_TENSOR_FILE), &tensors).unwrap();
        let report = to_peft(&folder, &name("peft")).unwrap();
        assert_eq!((report.dora, report.sites.len(), report.rank), (dora, 2, 3));
        let back = from_peft(&name("peft"), &name("back")).unwrap();
        assert_eq!(back, report);
        let found = read_tensors(&name("back").join(MLX_TENSOR_FILE)).unwrap();
        assert_eq!(found, tensors);
        let (one, other) = (config(&folder), config(&name("back")));
        assert_eq!(one["fine_tune_type"], other["fine_tune_type"]);
        assert_eq!(one["model"], other["model"]);
        for field in ["rank", "scale", "dropout"] {
            let [one, other] = [&one, &other].map(|config| &config["lora_parameters"][field]);
            assert_eq!(one, other, "{field}");
        }
        assert_eq!(other["lora_parameters"]["keys"], json!(report.sites));
    }
}

#[test]
fn updates_are_the_same_on_both_sides() {
    let root = tempfile::tempdir().unwrap();
    let (folder, _) = mlx_folder(&root.path().join("mlx"), false);
    let out = root.path().join("peft");
    let report = to_peft(&folder, &out).unwrap();
    let pool = Pool::open(&[&out]).unwrap();
    let config = read_config(&out).unwrap();
    assert_eq!((config.r, config.lora_alpha), (3, 0.1 * 3.0));
    for site in &report.sites {
        let factors = pool.factors(0, site).unwrap().unwrap();
        let product = &factors.b * factors.a.transpose();
        assert!(distance(&fused(&folder, site), &product) < 1e-14);
    }
}

#[test]
fn from_peft_and_back_keeps_every_tensor_and_rslora_becomes_its_scale() {
    let root = tempfile::tempdir().unwrap();
    let mut adapter = Adapter::new(4, 1);
    adapter.config.use_rslora = true;
    adapter.config.use_dora = true;
    for (site, _, d_out) in SITES {
        adapter.put_vector(site, "lora_magnitude_vector", vec![1.5; d_out]);
    }
    let folder = adapter.write(&root.path().join("peft"));
    let report = from_peft(&folder, &root.path().join("mlx")).unwrap();
    assert_eq!((report.scale, report.notes.len()), (4.0, 0));
    to_peft(&root.path().join("mlx"), &root.path().join("back")).unwrap();
    let back = read_tensors(&root.path().join("back/adapter_model.safetensors")).unwrap();
    assert_eq!(back, adapter.tensors);
    let config = read_config(&root.path().join("back")).unwrap();
    assert_eq!(
        (config.lora_alpha, config.use_rslora, config.use_dora),
        (16.0, false, true)
    );
}

#[test]
fn other_ranks_and_scales_are_folded_and_noted() {
    let root = tempfile::tempdir().unwrap();
    let mut adapter = Adapter::new(4, 1);
    let (odd, d_in, d_out) = SITES[2];
    adapter.put(odd, "lora_A.weight", &support::random(2, d_in, 7));
    adapter.put(odd, "lora_B.weight", &support::random(d_out, 2, 8));
    adapter.config.rank_pattern.insert("v".to_owned(), 2);
    let folder = adapter.write(&root.path().join("peft"));
    let out = root.path().join("mlx");
    let report = from_peft(&folder, &out).unwrap();
    let site = odd.to_owned();
    let expected = [
        MlxNote::Scaled {
            site: site.clone(),
            from: 4.0,
            to: 2.0,
        },
        MlxNote::Padded {
            site,
            from: 2,
            to: 4,
        },
    ];
    assert_eq!(report.notes, expected);
    for (site, ..) in SITES {
        let scale = if site == odd { 4.0 } else { 2.0 };
        let distance = distance(&adapter.product(site, scale), &fused(&out, site));
        assert!(distance < 1e-7, "{site}: {distance}");
    }
}

#[test]
fn what_one_side_lacks_is_named_and_nothing_is_written() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let mut adapter = Adapter::new(2, 1);
    adapter.config.modules_to_save = vec!["classifier".into()];
    adapter.put_vector("classifier", "bias", vec![0.0; 2]);
    let message = from_peft(&adapter.write(&root.path().join("head")), &out).unwrap_err();
    assert!(message.to_string().contains("classifier.bias"), "{message}");
    assert!(matches!(
        from_peft(&root.path().join("none"), &out),
        Err(MlxError::Member(_))
    ));

    let (folder, tensors) = mlx_folder(&root.path().join("mlx"), false);
    let fails = |change: &dyn Fn(&mut Tensors), word: &str| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        write_tensors(&folder.join(MLX_TENSOR_FILE), &tensors).unwrap();
        let message = to_peft(&folder, &out).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
        assert!(!out.exists());
    };
    let q = "model.layers.0.self_attn.q_proj";
    fails(
        &|t| drop(t.remove(&format!("{q}.lora_b"))),
        "both lora_a and lora_b",
    );
    fails(
        &|t| drop(t.insert(format!("{q}.m"), tensor(&[6], 1))),
        "no lora_a",
    );
    fails(
        &|t| drop(t.insert(format!("{q}.lora_a"), tensor(&[8, 2], 1))),
        "[8, 2]",
    );
    fails(
        &|t| drop(t.insert(format!("{q}.lora_a"), tensor(&[4, 3, 8], 1))),
        "experts",
    );
    fails(
        &|t| drop(t.insert("weight".to_owned(), tensor(&[1], 1))),
        "no tensor of a module",
    );
    fails(&|t| t.clear(), "no tensors");
    let embedding = |t: &mut Tensors| {
        t.insert("model.embed_tokens.lora_a".to_owned(), tensor(&[9, 3], 1));
        t.insert("model.embed_tokens.lora_b".to_owned(), tensor(&[3, 6], 1));
    };
    fails(&embedding, "an embedding");
    let broken = |t: &mut Tensors| t.get_mut(&format!("{q}.lora_a")).unwrap().data[0] = f32::NAN;
    fails(&broken, "lora_a");
    write_mlx(&folder, &json!({"fine_tune_type": "full"}), &tensors);
    let error = to_peft(&folder, &out).unwrap_err();
    assert!(
        matches!(&error, MlxError::Config { problems, .. } if problems.len() == 3),
        "{error}"
    );
}
