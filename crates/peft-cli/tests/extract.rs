//! `peft extract`: a fine-tuned model as an adapter of its base.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use binary::place::Place;
use binary::{failure, json, merge, stdout};
use burn::tensor::Device;
use peft_core::file::read_tensors;
use peft_models::hf::{export, write_model};
use peft_models::{ModelConfig, init_causal_lm};

#[test]
fn a_merged_adapter_comes_out_of_the_model_again() {
    let place = Place::new();
    let targets = ["--targets", "all-linear", "--rank", "3"];
    place.train("a", &targets);
    let [adapter, merged, out, cut] = ["a", "merged", "out", "cut"].map(|name| place.path(name));
    let model = place.model.as_str();
    merge(model, &adapter, &merged, json);
    let base = ["extract", "--base", model, "--tuned", &merged];
    let whole = json(&[&base[..], &["--rank", "3", "--out", &out]].concat());
    assert!(whole["error_of_layers"].as_f64().unwrap() < 1e-3, "{whole}");
    // The head was trained as a whole, which the base does not have: it is named, as what no pair can hold.
    let lists = ["left_out", "not_compared"].map(|name| whole[name].to_string());
    assert!(lists.concat().contains("classifier"), "{whole}");
    let sites = whole["sites"].as_object().unwrap();
    assert!(
        sites.len() > 10 && sites.values().all(|site| site["rank"] == 3),
        "{whole}"
    );
    let text = stdout(&[&base[..], &["--energy", "0.5", "--out", &cut]].concat());
    assert!(text.contains("lost of the difference"), "{text}");
    let nowhere = place.path("x");
    let no_model = [
        "extract", "--base", model, "--tuned", &adapter, "--out", &nowhere,
    ];
    let (_, error) = failure(&no_model);
    assert!(error.contains(&adapter), "{error}");
}

/// A tiny GPT-2 and the same after a change of rank 1 to these weights; both folders.
fn two_models(root: &std::path::Path, changed: &[&str]) -> [String; 2] {
    const CONFIG: &str = r#"{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 20, "n_embd": 8, "n_layer": 2,
        "n_head": 2, "n_positions": 16, "initializer_range": 0.2}"#;
    let config = ModelConfig::parse(std::path::Path::new("config.json"), CONFIG).unwrap();
    let loaded = init_causal_lm(config, 1, &Device::flex()).unwrap();
    let mut tensors = export(&loaded.model, &loaded.names);
    let folder = |name: &str| root.join(name).to_str().unwrap().to_owned();
    write_model(folder("base").as_ref(), &loaded.config, &tensors).unwrap();
    for (name, tensor) in &mut tensors {
        if changed.iter().any(|changed| name.ends_with(changed)) {
            let columns = tensor.shape[1];
            for (at, value) in tensor.data.iter_mut().enumerate() {
                *value += 0.01 * (1 + at / columns) as f32 * (2.0 - (at % columns) as f32);
            }
        }
    }
    write_model(folder("tuned").as_ref(), &loaded.config, &tensors).unwrap();
    ["base", "tuned"].map(folder)
}

#[test]
fn what_is_extracted_from_a_gpt2_gives_its_weights_back_square_ones_too() {
    let root = tempfile::tempdir().unwrap();
    let [base, tuned] = two_models(root.path(), &["attn.c_proj.weight", "mlp.c_fc.weight"]);
    let [out, merged] =
        ["out", "merged"].map(|name| root.path().join(name).to_str().unwrap().to_owned());
    let fixed = [
        "extract", "--base", &base, "--tuned", &tuned, "--rank", "1", "--out", &out,
    ];
    let result = json(&fixed);
    assert!(result["error"].as_f64().unwrap() < 1e-5, "{result}");
    merge(&base, &out, &merged, json);
    let tensors = |folder: &str| {
        read_tensors(&std::path::Path::new(folder).join("model.safetensors")).unwrap()
    };
    let (tuned, merged) = (tensors(&tuned), tensors(&merged));
    for (name, tensor) in &tuned {
        let pairs = tensor.data.iter().zip(&merged[name].data);
        let furthest = pairs
            .map(|(one, other)| (one - other).abs())
            .fold(0.0, f32::max);
        assert!(furthest < 1e-5, "{name}: {furthest}");
    }
}

#[test]
fn a_named_embedding_is_refused_and_one_that_changed_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let [base, tuned] = two_models(root.path(), &["c_fc.weight", "wte.weight"]);
    let out = root.path().join("out").to_str().unwrap().to_owned();
    let fixed = [
        "extract", "--base", &base, "--tuned", &tuned, "--rank", "1", "--out", &out,
    ];
    let (_, error) = failure(&[&fixed[..], &["--targets", "c_fc,wte"]].concat());
    assert!(
        error.contains("transformer.wte") && error.contains("targets"),
        "{error}"
    );
    let text = stdout(&[&fixed[..], &["--targets", "c_fc"]].concat());
    assert!(
        text.contains("lost: transformer.wte.weight [20, 8]"),
        "{text}"
    );
    let total = text.lines().last().unwrap();
    let of_all: f64 = total
        .split_once("relative: ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(of_all > 0.1, "{total}");
    let wrong = [&fixed[..], &["--fan-in-fan-out"]].concat();
    let llama = binary::model("llama");
    let wrong: Vec<&str> = wrong
        .iter()
        .map(|word| if *word == base { llama.as_str() } else { word })
        .collect();
    let (code, error) = failure(&wrong);
    assert!(code == 2 && error.contains("--fan-in-fan-out"), "{error}");
}
