//! Written model folders are read back with the same numbers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use burn::tensor::Device;
use common::{Expected, assert_close, floats, golden, read_raw};
use peft_core::Pass;
use peft_core::file::HostTensor;
use peft_models::hf::{FloatDtype, HostTensors, export, save_model, write_model};
use peft_models::{
    ModelConfig, ModelError, init_encoder, load_causal_lm, load_classifier, load_encoder,
};
use safetensors::SafeTensors;
use safetensors::tensor::serialize;

fn logits(dir: &std::path::Path, name: &str, pad: u32) -> Vec<f32> {
    let device = Device::flex();
    let model = load_classifier(dir, None, 0, &device).unwrap().model;
    floats(model.logits(&Expected::of(name).batch(pad, &device), &mut Pass::eval()))
}

fn vector(length: usize, value: f32) -> HostTensor {
    HostTensor::new("vector", [length], vec![value; length]).unwrap()
}

#[test]
fn a_copy_without_replacements_holds_the_same_bytes() {
    let out = tempfile::tempdir().unwrap();
    let config = ModelConfig::read(&golden("roberta")).unwrap();
    save_model(
        &golden("roberta"),
        out.path(),
        &config,
        &HostTensors::new(),
        None,
    )
    .unwrap();
    for (copy, original) in read_raw(out.path())
        .iter()
        .zip(read_raw(&golden("roberta")))
    {
        assert_eq!(
            (&copy.name, &copy.shape, &copy.bytes),
            (&original.name, &original.shape, &original.bytes)
        );
    }
    let header = fs::read(out.path().join("model.safetensors")).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&header).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    assert_eq!(
        fs::read_dir(out.path()).unwrap().count(),
        2,
        "no temporary file stays"
    );
    assert_eq!(
        logits(out.path(), "roberta", 1),
        logits(&golden("roberta"), "roberta", 1)
    );
}

#[test]
fn replaced_tensors_are_written_and_the_rest_is_kept() {
    let out = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let loaded = load_classifier(&golden("bert"), None, 0, &device).unwrap();
    let name = "bert.encoder.layer.0.intermediate.dense.weight";
    let mut replacements = export(&loaded.model, &loaded.names);
    replacements.retain(|key, _| key == name);
    replacements
        .get_mut(name)
        .unwrap()
        .data
        .iter_mut()
        .for_each(|value| *value *= 2.0);
    save_model(
        &golden("bert"),
        out.path(),
        &loaded.config,
        &replacements,
        None,
    )
    .unwrap();
    let again = load_classifier(out.path(), None, 0, &device).unwrap();
    let before = export(&loaded.model, &loaded.names);
    for (key, tensor) in export(&again.model, &again.names) {
        let expected = if key == name {
            &replacements[name]
        } else {
            &before[&key]
        };
        assert_eq!(&tensor, expected, "{key}");
    }
}

#[test]
fn a_head_added_to_a_bare_encoder_gives_every_name_its_prefix() {
    let out = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let loaded = load_classifier(&golden("bert-bare"), Some(4), 9, &device).unwrap();
    let mut head = export(&loaded.model, &loaded.names);
    head.retain(|name, _| loaded.fresh.contains(name));
    save_model(
        &golden("bert-bare"),
        out.path(),
        &loaded.config,
        &head,
        Some(FloatDtype::F32),
    )
    .unwrap();
    for raw in read_raw(out.path()) {
        assert!(
            raw.name.starts_with("bert.") || raw.name.starts_with("classifier."),
            "{}",
            raw.name
        );
    }
    let again = load_classifier(out.path(), None, 0, &device).unwrap();
    assert!(again.fresh.is_empty());
    assert_eq!(
        again.config.architectures(),
        ["BertForSequenceClassification"]
    );
    assert_eq!(again.config.num_labels(), 4);
    assert_eq!(again.config.raw()["dtype"], "float32");
    assert_eq!(
        export(&again.model, &again.names),
        export(&loaded.model, &loaded.names)
    );
}

#[test]
fn bare_names_replace_prefixed_tensors() {
    let out = tempfile::tempdir().unwrap();
    let config = ModelConfig::read(&golden("distilbert")).unwrap();
    let ones = vector(32, 1.0);
    let replacements = HostTensors::from([("transformer.layer.1.ffn.lin2.bias".to_owned(), ones)]);
    save_model(
        &golden("distilbert"),
        out.path(),
        &config,
        &replacements,
        None,
    )
    .unwrap();
    let found = read_raw(out.path());
    let raw = found
        .iter()
        .find(|raw| raw.name == "distilbert.transformer.layer.1.ffn.lin2.bias")
        .unwrap();
    assert_eq!(raw.bytes, FloatDtype::F32.encode(&[1.0; 32]));
    assert_eq!(found.len(), read_raw(&golden("distilbert")).len());
}

#[test]
fn a_sharded_bf16_model_becomes_one_file_in_another_type() {
    let expected = Expected::of("bert-sharded").floats("logits");
    for (dtype, tolerance) in [
        (None, 1e-4),
        (Some(FloatDtype::F32), 1e-4),
        (Some(FloatDtype::F16), 2e-2),
    ] {
        let out = tempfile::tempdir().unwrap();
        let config = ModelConfig::read(&golden("bert-sharded")).unwrap();
        save_model(
            &golden("bert-sharded"),
            out.path(),
            &config,
            &HostTensors::new(),
            dtype,
        )
        .unwrap();
        let written = dtype.unwrap_or(FloatDtype::Bf16);
        assert!(
            read_raw(out.path())
                .iter()
                .all(|raw| raw.dtype == written.in_file())
        );
        assert_close(&logits(out.path(), "bert-sharded", 0), &expected, tolerance);
    }
}

#[test]
fn replacements_that_do_not_fit_are_listed_and_nothing_is_written() {
    let out = tempfile::tempdir().unwrap();
    let config = ModelConfig::read(&golden("bert")).unwrap();
    let replacements = HostTensors::from([
        ("bert.embeddings.LayerNorm.bias".to_owned(), vector(3, 0.0)),
        (
            "bert.encoder.layer.0.unknown.weight".to_owned(),
            vector(1, 0.0),
        ),
    ]);
    let error = save_model(&golden("bert"), out.path(), &config, &replacements, None).unwrap_err();
    let ModelError::Weights { problems, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(problems.misshaped[0].name, "bert.embeddings.LayerNorm.bias");
    assert_eq!(problems.unexpected, ["bert.encoder.layer.0.unknown.weight"]);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn values_that_overflow_the_type_are_refused_and_leave_no_file() {
    let out = tempfile::tempdir().unwrap();
    let config = ModelConfig::read(&golden("bert")).unwrap();
    let large = vector(32, 1e6);
    let replacements = HostTensors::from([("bert.embeddings.LayerNorm.bias".to_owned(), large)]);
    let error = save_model(
        &golden("bert"),
        out.path(),
        &config,
        &replacements,
        Some(FloatDtype::F16),
    )
    .unwrap_err();
    assert!(
        matches!(
            error,
            ModelError::Overflow {
                dtype: "float16",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_is_not_written_over_itself() {
    let config = ModelConfig::read(&golden("bert")).unwrap();
    let error = save_model(
        &golden("bert"),
        &golden("bert"),
        &config,
        &HostTensors::new(),
        None,
    )
    .unwrap_err();
    assert!(matches!(error, ModelError::SameFolder { .. }));
}

#[test]
fn a_written_model_is_read_back_exactly() {
    let out = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let config = ModelConfig::read(&golden("roberta")).unwrap();
    let loaded = init_encoder(config, 5, &device).unwrap();
    let tensors = export(&loaded.model, &loaded.names);
    write_model(out.path(), &loaded.config, &tensors).unwrap();
    let again = load_encoder(out.path(), &device).unwrap();
    assert_eq!(export(&again.model, &again.names), tensors);
}

#[test]
fn a_replaced_classifier_keeps_the_rest_of_its_head_and_drops_heads_of_other_tasks() {
    let extra = common::Raw {
        name: "vocab_projector.bias".into(),
        dtype: FloatDtype::F32.in_file(),
        shape: vec![1],
        bytes: vec![0; 4],
    };
    let dir = common::changed("distilbert", |tensors| tensors.push(extra), |_| ());
    let out = tempfile::tempdir().unwrap();
    let config = ModelConfig::read(dir.path()).unwrap();
    let bias = vector(3, 0.5);
    let replacements = HostTensors::from([("classifier.bias".to_owned(), bias)]);
    save_model(dir.path(), out.path(), &config, &replacements, None).unwrap();
    let names = |dir| {
        read_raw(dir)
            .into_iter()
            .map(|raw| raw.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(out.path()), names(&golden("distilbert")));
}

#[test]
fn a_replacement_without_enough_values_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let config = ModelConfig::read(&golden("bert")).unwrap();
    let short = HostTensor {
        shape: vec![3],
        ..vector(2, 0.0)
    };
    let replacements = HostTensors::from([("classifier.bias".to_owned(), short)]);
    let error = save_model(&golden("bert"), out.path(), &config, &replacements, None).unwrap_err();
    assert!(
        error.to_string().contains("expected [3], found [2]"),
        "{error}"
    );
}

#[test]
fn a_tied_table_is_written_under_every_name_that_the_file_has_for_it() {
    let device = Device::flex();
    let source = golden("llama3");
    let loaded = load_causal_lm(&source, &device).unwrap();
    let mut tensors = export(&loaded.model, &loaded.names);
    let name = "model.embed_tokens.weight";
    tensors.retain(|key, _| key == name);
    tensors.get_mut(name).unwrap().data[7] = 42.0;
    let bytes = fs::read(source.join("model.safetensors")).unwrap();
    for kept in [&["table"][..], &["head"], &["table", "head"]] {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("in"), dir.path().join("out"));
        fs::create_dir(&input).unwrap();
        fs::copy(source.join("config.json"), input.join("config.json")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut views = file.tensors();
        let table = views.iter().position(|(key, _)| key == name).unwrap();
        let (_, view) = views.remove(table);
        for kind in kept {
            let key = if *kind == "table" {
                name
            } else {
                "lm_head.weight"
            };
            views.push((key.to_owned(), view.clone()));
        }
        let written = serialize(views, None).unwrap();
        fs::write(input.join("model.safetensors"), written).unwrap();
        save_model(&input, &output, &loaded.config, &tensors, None).unwrap();
        let out = fs::read(output.join("model.safetensors")).unwrap();
        let out = SafeTensors::deserialize(&out).unwrap();
        assert_eq!(out.len(), file.len() - 1 + kept.len());
        let again = load_causal_lm(&output, &device).unwrap();
        let table = again.model.decoder.words.table.weight.val().into_data();
        assert_eq!(table.iter::<f32>().nth(7), Some(42.0), "{kept:?}");
        if kept.contains(&"head") {
            assert_eq!(
                out.tensor("lm_head.weight").unwrap().data()[28..32],
                42.0_f32.to_le_bytes()
            );
        }
    }
}
