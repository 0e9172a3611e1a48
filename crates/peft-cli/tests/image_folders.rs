//! Folders of images as systems leave them: leftovers, parts of a data set, files that are broken.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::{Path, PathBuf};

use binary::{failure, peft};
use image::{ImageFormat, Rgb, RgbImage};

/// A tiny ViT that Python wrote, and folders of images.
struct Place(tempfile::TempDir);

fn picture(seed: u32) -> RgbImage {
    RgbImage::from_fn(24, 24, |x, y| {
        Rgb([(x * 7 + seed * 40) as u8, (y * 9) as u8, (seed * 60) as u8])
    })
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let model = place.0.path().join("model");
        std::fs::create_dir(&model).unwrap();
        let golden = PathBuf::from(binary::model("vit"));
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(golden.join(file), model.join(file)).unwrap();
        }
        let processor = r#"{"size": {"height": 12, "width": 12}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
        std::fs::write(model.join("preprocessor_config.json"), processor).unwrap();
        place
    }

    /// Classes `cat` and `dog` of three images each below `root`.
    fn classes(&self, root: &str) -> PathBuf {
        let root = self.0.path().join(root);
        for (class, first) in [("cat", 0), ("dog", 3)] {
            std::fs::create_dir_all(root.join(class)).unwrap();
            for at in 0..3 {
                let format = if at == 0 {
                    ImageFormat::Jpeg
                } else {
                    ImageFormat::Png
                };
                let path = root
                    .join(class)
                    .join(format!("{at}.{}", format.extensions_str()[0]));
                picture(first + at).save_with_format(path, format).unwrap();
            }
        }
        root
    }

    fn train(&self, data: &Path) -> std::process::Output {
        let (model, out) = (self.0.path().join("model"), self.0.path().join("out"));
        peft(&[
            "train",
            "--task",
            "image-cls",
            "--model",
            model.to_str().unwrap(),
            "--targets",
            "query,value",
            "--max-steps",
            "1",
            "--overwrite",
            "--train",
            data.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ])
    }

    fn refused(&self, data: &Path) -> String {
        let output = self.train(data);
        assert_eq!(output.status.code(), Some(1));
        assert!(!self.0.path().join("out/labels.json").exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[test]
fn what_systems_and_archives_leave_behind_is_skipped_and_counted() {
    let place = Place::new();
    let root = place.classes("pets");
    std::fs::create_dir_all(root.join("__MACOSX/cat")).unwrap();
    for name in [
        "cat/Thumbs.db",
        "dog/desktop.ini",
        "README.md",
        ".DS_Store",
        "__MACOSX/cat/._0.png",
        "cat/._1.png",
    ] {
        std::fs::write(root.join(name), "no image").unwrap();
    }
    let output = place.train(&root);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("6 file(s) or folder(s) that are no data skipped"),
        "{said}"
    );
    let labels = std::fs::read_to_string(place.0.path().join("out/labels.json")).unwrap();
    assert_eq!(labels, r#"["cat","dog"]"#);
}

#[test]
fn parts_of_a_data_set_are_no_classes() {
    let place = Place::new();
    place.classes("pets/Train");
    place.classes("pets/test");
    place.classes("pets/val");
    let root = place.0.path().join("pets");
    let message = place.refused(&root);
    let flags = format!("--train {0}/Train --valid {0}/val", root.display());
    assert!(message.contains(&flags), "{message}");
    std::fs::remove_dir_all(root.join("test")).unwrap();
    std::fs::remove_dir_all(root.join("val")).unwrap();
    assert!(place.refused(&root).contains("Train"));
    // A class may be called `train` where it holds images.
    let toys = place.classes("toys");
    std::fs::rename(toys.join("cat"), toys.join("train")).unwrap();
    assert!(place.train(&toys).status.success());
}

#[test]
fn broken_images_are_all_named_before_training() {
    let place = Place::new();
    let root = place.classes("pets");
    let whole = std::fs::read(root.join("cat/0.jpg")).unwrap();
    std::fs::write(root.join("cat/0.jpg"), &whole[..whole.len() - 10]).unwrap();
    let png = std::fs::read(root.join("dog/1.png")).unwrap();
    std::fs::write(root.join("dog/1.png"), &png[..png.len() / 2]).unwrap();
    let message = place.refused(&root);
    assert!(message.contains("2 unusable image(s)"), "{message}");
    assert!(
        message.contains("0.jpg") && message.contains("cut short") && message.contains("1.png"),
        "{message}"
    );
    std::fs::write(root.join("cat/1.png"), "").unwrap();
    let message = place.refused(&root);
    assert!(message.contains("1.png: the file is empty"), "{message}");
}

#[test]
fn one_class_is_refused_and_one_image_in_two_classes_is_told() {
    let place = Place::new();
    let root = place.classes("pets");
    std::fs::copy(root.join("cat/1.png"), root.join("dog/again.png")).unwrap();
    let output = place.train(&root);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("lie in several classes") && said.contains("again.png"),
        "{said}"
    );
    std::fs::remove_dir_all(place.0.path().join("out")).unwrap();
    std::fs::remove_dir_all(root.join("dog")).unwrap();
    assert!(
        place
            .refused(&root)
            .contains("expected two labels or more, found cat alone")
    );
    let model = binary::model("vit");
    let (code, message) = failure(&[
        "eval",
        "--task",
        "image-cls",
        "--model",
        &model,
        "--data",
        "nowhere",
    ]);
    assert!(code == 1 && message.contains("nowhere"), "{message}");
}
