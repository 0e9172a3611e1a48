//! Everything that a folder of Hugging Face PEFT may hold beside factors: what base and adapter compute, merged, and written again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use common::{Expected, assert_close, floats, golden};
use peft_core::lora::LORA;
use peft_core::merge::merge;
use peft_core::{Adaptable, Pass, folder, select_adapters};
use peft_models::{
    CausalBatch, CausalLm, Loaded, SequenceClassifier, TokenBatch, load_causal_lm, load_classifier,
};

const TOLERANCE: f32 = 1e-4;

fn contents() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(golden("contents")).unwrap();
    let mut found: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    found.sort();
    assert_eq!(found.len(), 22);
    found
}

fn expected(name: &str) -> (Expected, Vec<Vec<u32>>) {
    let expected = Expected::of(&format!("contents/{name}"));
    let ids = expected.full_rows("input_ids");
    (expected, ids)
}

/// Logits, or hidden states where only those are known.
fn outputs(model: &CausalLm, ids: &[Vec<u32>], hidden: bool) -> Vec<f32> {
    let batch = CausalBatch::left_padded(ids, &Device::flex()).unwrap();
    model.decoder.check(&batch).unwrap();
    let pass = &mut Pass::eval();
    match hidden {
        true => floats(model.decoder.hidden(&batch, None, pass)),
        false => floats(model.logits(&batch, None, pass)),
    }
}

fn base(name: &str) -> Loaded<CausalLm> {
    let base = name.split('-').next().unwrap();
    load_causal_lm(&golden(base), &Device::flex()).unwrap()
}

fn read(name: &str, dir: &Path) -> folder::Loaded<CausalLm> {
    let loaded = base(name);
    folder::load(loaded.model, &loaded.names, "a", &[&LORA], dir).unwrap()
}

#[test]
fn base_and_adapter_compute_what_peft_computes() {
    for (name, dir) in contents() {
        if name.starts_with("bert") {
            continue;
        }
        let (expected, ids) = expected(&name);
        let hidden = expected.has("hidden");
        let wanted = expected.floats(if hidden { "hidden" } else { "logits" });
        let adapted = read(&name, &dir);
        let resized = ["grown", "shrunk"].iter().any(|kind| name.contains(kind));
        assert_eq!(adapted.vocabulary.is_some(), resized, "{name}");
        let found = outputs(&adapted.model, &ids, hidden);
        println!("{name}");
        assert_close(&found, &wanted, TOLERANCE);

        let again = tempfile::tempdir().unwrap();
        let names = base(&name).names;
        folder::save(&adapted.model, &names, "a", &adapted.spec, again.path()).unwrap();
        let reread = read(&name, again.path());
        assert_eq!(
            outputs(&reread.model, &ids, hidden),
            found,
            "{name} written again"
        );

        let merged = merge(adapted.model).unwrap();
        assert_close(&outputs(merged.model(), &ids, hidden), &wanted, TOLERANCE);
        let unmerged = merged.unmerge();
        assert_eq!(outputs(&unmerged, &ids, hidden), found, "{name} unmerged");
    }
}

#[test]
fn the_base_answers_as_before_beside_any_adapter() {
    for (name, dir) in contents() {
        if name.starts_with("bert") || name.contains("grown") || name.contains("shrunk") {
            continue;
        }
        let (_, ids) = expected(&name);
        let adapted = read(&name, &dir);
        assert!(adapted.report.changed.is_empty(), "{name}");
        let without = select_adapters(adapted.model, &[]).unwrap();
        let found = outputs(&without, &ids, false);
        assert_close(&found, &outputs(&base(&name).model, &ids, false), 1e-6);
    }
}

#[test]
fn an_adapter_of_a_bare_encoder_suits_one_with_a_head_and_stays_bare() {
    let (expected, ids) = expected("bert-body");
    let device = Device::flex();
    let load = |dir: &Path| {
        let loaded = load_classifier(&golden("bert"), None, 0, &device).unwrap();
        let read = folder::load(loaded.model, &loaded.names, "a", &[&LORA], dir).unwrap();
        (loaded.names, read)
    };
    let hidden = |model: &SequenceClassifier| {
        let batch = TokenBatch::new(&ids, None, 0, &device).unwrap();
        floats(model.hidden(&batch, &mut Pass::eval()))
    };
    let (names, read) = load(&golden("contents/bert-body"));
    assert_close(&hidden(&read.model), &expected.floats("hidden"), TOLERANCE);
    let again = tempfile::tempdir().unwrap();
    folder::save(&read.model, &names, "a", &read.spec, again.path()).unwrap();
    let keys = |dir: &Path| {
        peft_core::file::read_folder(dir)
            .unwrap()
            .tensors
            .into_keys()
    };
    assert!(keys(again.path()).eq(keys(&golden("contents/bert-body"))));
    assert_eq!(hidden(&load(again.path()).1.model), hidden(&read.model));
}

#[test]
fn two_adapters_with_tables_of_their_own_share_a_base() {
    let (_, ids) = expected("qwen3-both");
    let loaded = base("qwen3-both");
    let names = loaded.names;
    let mut model = loaded.model;
    for (name, kind) in [("a", "qwen3-both"), ("b", "qwen3-lora-table")] {
        let dir = golden("contents").join(kind);
        model = folder::load(model, &names, name, &[&LORA], &dir)
            .unwrap()
            .model;
    }
    for (name, kind) in [("a", "qwen3-both"), ("b", "qwen3-lora-table")] {
        let model = select_adapters(model.clone(), &[(name, 1.0)]).unwrap();
        let alone = read(kind, &golden("contents").join(kind)).model;
        assert_close(
            &outputs(&model, &ids, false),
            &outputs(&alone, &ids, false),
            1e-5,
        );
    }
    let error = folder::load(
        model,
        &names,
        "c",
        &[&LORA],
        &golden("contents/qwen3-grown"),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("99 tokens"), "{error}");
}

#[test]
fn half_of_a_resized_vocabulary_is_refused_with_the_way_out() {
    let source = golden("contents/llama-grown");
    let mut contents = peft_core::file::read_folder(&source).unwrap();
    contents
        .tensors
        .remove("base_model.model.lm_head.weight")
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(source.join("adapter_config.json")).unwrap();
    let config = serde_json::from_str(&config).unwrap();
    peft_core::file::write_folder(dir.path(), &config, &contents.tensors).unwrap();
    let loaded = base("llama");
    let error = folder::load(loaded.model, &loaded.names, "a", &[&LORA], dir.path()).unwrap_err();
    let error = error.to_string();
    for word in ["99 tokens", "97", "`lm_head`", "peft resize"] {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn a_tied_output_layer_is_a_site_of_its_own_name() {
    let model = base("qwen3").model;
    assert!(model.sites().iter().any(|site| site.path == "lm_head"));
    let mut untied = model.clone();
    untied.untie();
    let ids = vec![vec![1, 5, 9]];
    assert_eq!(outputs(&untied, &ids, false), outputs(&model, &ids, false));
    assert_eq!(untied.sites(), model.sites());
    assert!(untied.tied().is_none());
}
