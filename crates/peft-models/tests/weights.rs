//! Weight files that do not fit, are damaged or hostile, and heads that start afresh.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use common::{Expected, Raw, assert_close, changed, floats, golden};
use peft_core::Pass;
use peft_models::hf::export;
use peft_models::{
    Misshaped, ModelConfig, ModelError, UnreadableDtype, init_classifier, load_classifier,
    load_encoder,
};
use safetensors::tensor::Dtype;
use serde_json::json;

fn zeros(name: &str, shape: &[usize]) -> Raw {
    Raw {
        name: name.to_owned(),
        dtype: Dtype::F32,
        shape: shape.to_vec(),
        bytes: vec![0; 4 * shape.iter().product::<usize>()],
    }
}

fn named<'a>(tensors: &'a mut [Raw], name: &str) -> &'a mut Raw {
    tensors.iter_mut().find(|raw| raw.name == name).unwrap()
}

#[test]
fn one_error_names_every_tensor_that_does_not_fit() {
    let dir = changed(
        "bert",
        |tensors| {
            tensors.retain(|raw| raw.name != "bert.embeddings.LayerNorm.bias");
            tensors.push(zeros("bert.encoder.layer.7.output.dense.weight", &[2, 2]));
            tensors.push(zeros("bert.encoder.layer.7.output.dense.bias", &[2]));
            let query = named(tensors, "bert.encoder.layer.1.attention.self.query.weight");
            *query = zeros(&query.name.clone(), &[32, 16]);
            let key = named(tensors, "bert.encoder.layer.0.attention.self.key.bias");
            key.dtype = Dtype::I32;
        },
        |_| (),
    );
    let error = load_classifier(dir.path(), None, 0, &Device::flex()).unwrap_err();
    let text = error.to_string();
    let ModelError::Weights { problems, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(problems.missing, ["bert.embeddings.LayerNorm.bias"]);
    assert_eq!(
        problems.unexpected,
        [
            "bert.encoder.layer.7.output.dense.bias",
            "bert.encoder.layer.7.output.dense.weight"
        ]
    );
    let misshaped = Misshaped {
        name: "bert.encoder.layer.1.attention.self.query.weight".into(),
        expected: vec![32, 32],
        found: vec![32, 16],
    };
    assert_eq!(problems.misshaped, [misshaped]);
    let unreadable = UnreadableDtype {
        name: "bert.encoder.layer.0.attention.self.key.bias".into(),
        dtype: "I32".into(),
    };
    assert_eq!(problems.unreadable, [unreadable]);
    assert!(text.contains("expected [32, 32], found [32, 16]"), "{text}");
}

#[test]
fn old_spellings_buffers_and_other_heads_are_tolerated() {
    let dir = changed(
        "bert",
        |tensors| {
            for raw in tensors.iter_mut() {
                raw.name = raw
                    .name
                    .replace("LayerNorm.weight", "LayerNorm.gamma")
                    .replace("LayerNorm.bias", "LayerNorm.beta");
            }
            tensors.push(zeros("bert.embeddings.position_ids", &[1, 40]));
            tensors.push(zeros("cls.predictions.bias", &[120]));
        },
        |_| (),
    );
    let device = Device::flex();
    let loaded = load_classifier(dir.path(), None, 0, &device).unwrap();
    assert_eq!(
        loaded.ignored,
        ["bert.embeddings.position_ids", "cls.predictions.bias"]
    );
    let expected = Expected::of("bert");
    let logits = loaded
        .model
        .logits(&expected.batch(0, &device), &mut Pass::eval());
    assert_close(&floats(logits), &expected.floats("logits"), 1e-4);
}

#[test]
fn a_tensor_under_two_spellings_is_not_silently_dropped() {
    let dir = changed(
        "bert",
        |tensors| tensors.push(zeros("encoder.layer.0.output.dense.bias", &[32])),
        |_| (),
    );
    let error = load_classifier(dir.path(), None, 0, &Device::flex()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unexpected: `encoder.layer.0.output.dense.bias`"),
        "{error}"
    );
}

#[test]
fn another_number_of_labels_is_an_error_unless_asked_for() {
    let device = Device::flex();
    let dir = changed(
        "bert",
        |_| (),
        |config| {
            config["id2label"] = json!({"0": "no", "1": "yes"});
            config["label2id"] = json!({"no": 0, "yes": 1});
        },
    );
    let error = load_classifier(dir.path(), None, 0, &device).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`classifier.weight`: expected [2, 32], found [3, 32]"),
        "{error}"
    );

    let loaded = load_classifier(dir.path(), Some(2), 0, &device).unwrap();
    assert_eq!(loaded.fresh, ["classifier.bias", "classifier.weight"]);
    assert_eq!(loaded.config.labels(), ["no", "yes"]);
    let loaded = load_classifier(&golden("roberta"), Some(1), 0, &device).unwrap();
    assert_eq!(
        loaded.fresh,
        ["classifier.out_proj.bias", "classifier.out_proj.weight"]
    );
    assert_eq!(
        (loaded.model.num_labels(), loaded.config.num_labels()),
        (1, 1)
    );
}

#[test]
fn fresh_heads_depend_on_the_seed_only() {
    let device = Device::flex();
    let head = |seed| {
        let loaded = load_classifier(&golden("bert-bare"), Some(5), seed, &device).unwrap();
        let tensors = export(&loaded.model, &loaded.names);
        tensors["classifier.weight"].clone()
    };
    let first = head(1);
    assert_eq!(first.shape, [5, 32]);
    let values = first.data;
    assert_eq!(head(1).data, values);
    assert_ne!(head(2).data, values);
    let std = (values.iter().map(|v| v * v).sum::<f32>() / 160.0).sqrt();
    assert!(
        (0.2..0.4).contains(&std),
        "initializer_range is 0.3, std {std}"
    );
}

#[test]
fn a_fresh_pooler_belongs_to_the_modules_to_save() {
    let dir = changed(
        "bert",
        |tensors| tensors.retain(|raw| !raw.name.starts_with("bert.pooler")),
        |_| (),
    );
    let loaded = load_classifier(dir.path(), None, 0, &Device::flex()).unwrap();
    assert_eq!(
        loaded.fresh,
        ["bert.pooler.dense.bias", "bert.pooler.dense.weight"]
    );
    assert_eq!(loaded.head_modules(), ["pooler", "classifier"]);
    let distilbert = load_classifier(&golden("distilbert"), None, 0, &Device::flex()).unwrap();
    assert_eq!(distilbert.head_modules(), ["pre_classifier", "classifier"]);
}

#[test]
fn exported_tensors_are_those_of_the_file() {
    for name in ["bert", "roberta", "distilbert"] {
        let loaded = load_classifier(&golden(name), None, 0, &Device::flex()).unwrap();
        let tensors = export(&loaded.model, &loaded.names);
        let file = common::read_raw(&golden(name));
        assert_eq!(tensors.len(), file.len());
        for raw in file {
            let (shape, values) = (&tensors[&raw.name].shape, &tensors[&raw.name].data);
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            assert_eq!((shape, &bytes), (&raw.shape, &raw.bytes), "{}", raw.name);
        }
    }
}

#[test]
fn an_untrained_model_has_every_parameter_fresh() {
    let config = ModelConfig::read(&golden("distilbert")).unwrap();
    let loaded = init_classifier(config, 3, &Device::flex()).unwrap();
    assert_eq!(loaded.fresh.len(), loaded.names.len());
    let tensors = export(&loaded.model, &loaded.names);
    assert!(
        tensors["distilbert.embeddings.LayerNorm.weight"]
            .data
            .iter()
            .all(|value| *value == 1.0)
    );
    assert!(
        tensors["classifier.weight"]
            .data
            .iter()
            .any(|value| *value != 0.0)
    );
}

/// Copies the sharded golden folder and gives its index a new text.
fn with_index(change: impl FnOnce(String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden("bert-sharded")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let index = dir.path().join("model.safetensors.index.json");
    let text = change(fs::read_to_string(&index).unwrap());
    fs::write(&index, text).unwrap();
    dir
}

#[test]
fn shards_outside_the_folder_are_refused() {
    let shard = "model-00002-of-00002.safetensors";
    for hostile in [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "c:x",
        "",
        "./x",
    ] {
        let dir = with_index(|text| text.replace(shard, hostile));
        match load_encoder(dir.path(), &Device::flex()) {
            Err(ModelError::ShardName { shard, .. }) => assert_eq!(shard, hostile),
            other => panic!("{hostile}: {:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn an_index_that_promises_too_much_is_refused_by_name() {
    let dir = with_index(|text| {
        text.replace(
            "\"weight_map\": {",
            "\"weight_map\": {\"ghost\": \"model-00001-of-00002.safetensors\",",
        )
    });
    let error = load_encoder(dir.path(), &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("missing: `ghost`"), "{error}");
    let dir = with_index(|_| "{\"weight_map\": [1]}".into());
    assert!(matches!(
        load_encoder(dir.path(), &Device::flex()),
        Err(ModelError::Field { .. })
    ));
    let dir = with_index(|text| text.replace("model-00002-of-00002", "absent"));
    assert!(matches!(
        load_encoder(dir.path(), &Device::flex()),
        Err(ModelError::Io { .. })
    ));
}

#[test]
fn damaged_weight_files_give_an_error_with_the_path() {
    let good = fs::read(golden("bert").join("model.safetensors")).unwrap();
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n".to_vec();
    let cases = [
        (Vec::new(), "too few"),
        (good[..good.len() - 4].to_vec(), "the file has"),
        (good[..40].to_vec(), "the header claims"),
        (huge, "the header claims"),
        (pointer, "Git LFS pointer"),
        ([&8_u64.to_le_bytes()[..], b"not json"].concat(), "header:"),
    ];
    for (bytes, part) in cases {
        let dir = changed("bert", |_| (), |_| ());
        fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
        let error = load_encoder(dir.path(), &Device::flex()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("model.safetensors: ") && text.contains(part),
            "{text}"
        );
    }
}

#[test]
fn sizes_that_no_memory_would_hold_are_reported_like_any_other_misfit() {
    for field in ["hidden_size", "vocab_size", "intermediate_size"] {
        let dir = changed(
            "bert",
            |_| (),
            |config| config[field] = (1_u64 << 40).into(),
        );
        let error = load_classifier(dir.path(), Some(3), 0, &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("1099511627776"), "{error}");
    }
}

#[test]
fn a_folder_without_weights_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(
        golden("bert").join("config.json"),
        dir.path().join("config.json"),
    )
    .unwrap();
    fs::write(dir.path().join("pytorch_model.bin"), b"x").unwrap();
    let error = load_encoder(dir.path(), &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("convert it"), "{error}");
    let error = load_encoder(Path::new("no/such/folder"), &Device::flex()).unwrap_err();
    assert!(matches!(error, ModelError::Io { .. }));
}

#[test]
fn batches_beyond_the_tables_are_refused_before_the_forward() {
    let device = Device::flex();
    let refused = |name: &str, row: Vec<u32>, pad: u32| {
        let model = load_encoder(&golden(name), &device).unwrap().model;
        let batch = peft_models::TokenBatch::new(&[row], None, pad, &device).unwrap();
        matches!(model.check(&batch), Err(ModelError::OutOfRange { .. }))
    };
    assert!(refused("bert", vec![5, 120], 0) && !refused("bert", vec![5, 119], 0));
    assert!(refused("bert", vec![5; 41], 0) && !refused("bert", vec![5; 40], 0));
    assert!(refused("roberta", vec![5; 39], 1) && !refused("roberta", vec![5; 38], 1));
}
