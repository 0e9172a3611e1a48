//! Models of images from end to end: every method trains, is scored, answers and is merged; every form of data is read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::{failure, json, merges, stdout, usual_rank, verdict};
use burn::tensor::Device;
use peft_models::hf::{export, write_model};
use peft_models::{ModelConfig, init_image_classifier};
use serde_json::Value;

/// A tiny ViT and a table of images, 8 x 8 pixels each.
struct Place(tempfile::TempDir);

const CONFIG: &str = r#"{"architectures": ["ViTForImageClassification"], "model_type": "vit", "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 8, "patch_size": 4,
    "num_channels": 1, "num_labels": 2, "initializer_range": 0.2}"#;
const PROCESSOR: &str =
    r#"{"size": {"height": 8, "width": 8}, "image_mean": [0.5], "image_std": [0.5]}"#;
const CLASSES: [&str; 3] = ["left", "middle", "right"];

/// Noise with a bright third, which is the class.
fn row(image: usize) -> String {
    let class = image % 3;
    let pixel = |at: usize| {
        let noise = (image * 97 + at * 31) % 60;
        let bright = at % 8 * 3 / 8 == class;
        (noise + if bright { 180 } else { 0 }).to_string()
    };
    let pixels: Vec<String> = (0..64).map(pixel).collect();
    format!("{},{}\n", pixels.join(","), CLASSES[class])
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let config = ModelConfig::parse(Path::new("config.json"), CONFIG).unwrap();
        let loaded = init_image_classifier(config, 1, &Device::flex()).unwrap();
        let model = place.0.path().join("model");
        let tensors = export(&loaded.model, &loaded.names);
        write_model(&model, &loaded.config, &tensors).unwrap();
        std::fs::write(model.join("preprocessor_config.json"), PROCESSOR).unwrap();
        let rows = |range: std::ops::Range<usize>| range.map(row).collect::<String>();
        std::fs::write(place.path("train.csv"), rows(0..60)).unwrap();
        std::fs::write(place.path("valid.csv"), rows(60..84)).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn train(&self, name: &str, method: &str, data: [&str; 2], more: &[&str]) -> Value {
        let [model, train, valid, out] = ["model", data[0], data[1], name].map(|n| self.path(n));
        let fixed = ["train", "--task", "image-cls", "--model", &model];
        let data = ["--train", &train, "--valid", &valid, "--out", &out];
        let how = ["--method", method, "--lr", "1e-2", "--epochs", "8"];
        json(&[&fixed[..], &data, &how, &["--batch-size", "12"], more].concat())
    }

    fn scores(&self, model: &str, data: &str, more: &[&str]) -> Value {
        let (model, data) = (self.path(model), self.path(data));
        let fixed = [
            "eval",
            "--task",
            "image-cls",
            "--model",
            &model,
            "--data",
            &data,
        ];
        json(&[&fixed[..], more].concat())
    }
}

const TABLES: [&str; 2] = ["train.csv", "valid.csv"];

#[test]
fn every_method_trains_on_images_is_scored_and_merged() {
    let place = Place::new();
    for method in json(&["methods"])["methods"].as_array().unwrap() {
        let method = method["id"].as_str().unwrap();
        let mergeable = !["moe-lora", "reslora"].contains(&method);
        let targets = ["--targets", "all-linear", "--rank", usual_rank(method)];
        let report = place.train(method, method, TABLES, &targets);
        let trained = &report["scores"];
        assert!(
            trained["metrics"]["accuracy"].as_f64().unwrap() > 0.9,
            "{method}: {report}"
        );
        let (model, adapter) = (place.path("model"), place.path(method));
        let scored = place.scores("model", "valid.csv", &["--adapter", &adapter]);
        let loss = |scores: &Value| scores["loss"].as_f64().unwrap();
        assert!((loss(&scored) - loss(trained)).abs() < 1e-4, "{method}");
        let merged = place.path(&format!("{method}-merged"));
        assert_eq!(merges(&model, &adapter, &merged), mergeable);
        if mergeable {
            let of_merged = place.scores(&format!("{method}-merged"), "valid.csv", &[]);
            assert!((loss(&of_merged) - loss(trained)).abs() < 1e-4, "{method}");
        }
        let verdict = verdict(&["--model", &model, &adapter]);
        assert_eq!(verdict["valid"], true, "{verdict}");
    }
    for method in ["head", "full"] {
        let report = place.train(method, method, TABLES, &[]);
        let scored = place.scores(method, "valid.csv", &[]);
        assert_eq!(scored["metrics"], report["scores"]["metrics"], "{method}");
    }
}

/// The rows of a table as a folder per class of PNG files in colour, twice as large.
fn folder(table: &Path, folder: &Path) {
    let text = std::fs::read_to_string(table).unwrap();
    for (at, line) in text.lines().enumerate() {
        let (pixels, class) = line.rsplit_once(',').unwrap();
        let pixels: Vec<u8> = pixels.split(',').map(|v| v.parse().unwrap()).collect();
        let colour = |x: u32, y: u32| image::Rgb([pixels[(y / 2 * 8 + x / 2) as usize]; 3]);
        let dir = folder.join(class);
        std::fs::create_dir_all(&dir).unwrap();
        let picture = image::RgbImage::from_fn(16, 16, colour);
        picture.save(dir.join(format!("{at:03}.png"))).unwrap();
    }
}

#[test]
fn a_folder_per_class_trains_and_its_files_are_answered_by_name() {
    let place = Place::new();
    for name in ["train", "valid"] {
        let table = place.path(&format!("{name}.csv"));
        folder(Path::new(&table), &place.0.path().join(name));
    }
    let targets = ["--targets", "query,value"];
    let report = place.train("a", "lora", ["train", "valid"], &targets);
    assert!(
        report["scores"]["metrics"]["accuracy"].as_f64().unwrap() > 0.9,
        "{report}"
    );
    assert_eq!(report["examples"], 60);
    let (model, adapter, valid) = (place.path("model"), place.path("a"), place.path("valid"));
    let args = [
        "predict",
        "--model",
        &model,
        "--adapter",
        &adapter,
        "--data",
        &valid,
    ];
    let answers = stdout(&args);
    let mut right = 0;
    for line in answers.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let file = answer["file"].as_str().unwrap();
        right += usize::from(file.starts_with(answer["label"].as_str().unwrap()));
    }
    assert_eq!(answers.lines().count(), 24);
    assert!(right >= 22, "{right} of 24");
    let scores = place.scores("model", "valid", &["--adapter", &adapter]);
    let accuracy = scores["metrics"]["accuracy"].as_f64().unwrap();
    assert!((accuracy - right as f64 / 24.0).abs() < 1e-9, "{scores}");
    let plan = [
        "targets",
        "--task",
        "image-cls",
        "--model",
        &model,
        "--train",
        &valid,
    ];
    let plan = json(&[&plan[..], &targets].concat());
    assert_eq!(plan["sites"].as_array().unwrap().len(), 4);
    assert_eq!(
        plan["memory"]["length"], 5,
        "four patches and the class token"
    );
}

#[test]
fn what_is_wrong_with_images_or_settings_is_said() {
    let place = Place::new();
    let [model, train] = ["model", "train.csv"].map(|name| place.path(name));
    let out = place.path("out");
    let run = |train: &str, more: &[&str]| {
        let fixed = [
            "train",
            "--task",
            "image-cls",
            "--model",
            &model,
            "--train",
            train,
        ];
        failure(&[&fixed[..], &["--out", &out], more].concat())
    };
    let (code, error) = run(&train, &[]);
    assert_ne!(code, 0);
    assert!(
        error.contains("--targets") && error.contains("vit"),
        "{error}"
    );
    let all = ["--targets", "all-linear"];
    std::fs::write(place.path("one.csv"), row(0)).unwrap();
    let (code, error) = failure(&["eval", "--model", &model, "--data", &train]);
    assert!(code == 2 && error.contains("image-cls"), "{error}");
    let texts = ["train", "--model", &model, "--train", &train, "--out", &out];
    let (code, error) = failure(&texts);
    assert!(code == 2 && error.contains("image-cls"), "{error}");
    let (_, error) = run(&place.path("one.csv"), &all);
    assert!(error.contains("two labels"), "{error}");
    let (_, error) = run(&place.path("nowhere"), &all);
    assert!(error.contains("nowhere"), "{error}");
    std::fs::write(place.path("valid-other.csv"), row(0).replace("left", "up")).unwrap();
    let other = place.path("valid-other.csv");
    let (_, error) = run(&train, &[&all[..], &["--valid", &other]].concat());
    assert!(error.contains("[\"up\"]"), "{error}");
    std::fs::remove_file(place.path("model/preprocessor_config.json")).unwrap();
    let (_, error) = run(&train, &all);
    assert!(error.contains("preprocessor_config.json"), "{error}");
}
