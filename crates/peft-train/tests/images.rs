//! Images against `transformers` (tools/golden/images.py), the forms they come in, and what is wrong with broken ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pictures;

use std::path::Path;

use peft_train::data::{ImageProcessor, Picture, PictureOptions, Pixels, Target, read_pictures};
use pictures::{golden, grey};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// One step of 255 after normalising by a deviation of 0.26: resizing in fixed point may round the other way.
const ONE_STEP: f32 = 1.05 / 255.0 / 0.26;

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = file.tensor(name).unwrap();
    let values = bytes.data().chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

#[test]
fn every_processor_gives_the_values_of_transformers() {
    let bytes = std::fs::read(golden("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let processors = std::fs::read_to_string(golden("processors.json")).unwrap();
    let processors: Value = serde_json::from_str(&processors).unwrap();
    let files = [
        "colour.png",
        "grey.png",
        "clear.png",
        "photo.jpg",
        "turned.jpg",
    ];
    for (name, settings) in processors.as_object().unwrap() {
        let side = expected
            .tensor(&format!("colour.png.{name}"))
            .unwrap()
            .shape()[1];
        let path = Path::new("preprocessor_config.json");
        let processor = ImageProcessor::parse(path, &settings.to_string(), 3, side).unwrap();
        for file in files {
            let found = processor.values(&Picture::File(golden(file))).unwrap();
            let wanted = floats(&expected, &format!("{file}.{name}"));
            assert_eq!(found.len(), wanted.len());
            let scale = if name == "plain" { 255.0 / 16.0 } else { 1.0 };
            // Decoders of JPEG may round an inverse cosine transform differently.
            let steps = if file.ends_with("jpg") { 2.0 } else { 1.0 };
            let pairs = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs());
            let worst = pairs.clone().fold(0.0, f32::max);
            let mean = pairs.sum::<f32>() / wanted.len() as f32;
            let place = format!("{file}, {name}: {worst}, mean {mean}");
            assert!(worst <= steps * scale * ONE_STEP, "{place}");
            assert!(mean <= 0.15 * scale * ONE_STEP, "{place}");
        }
    }
    let colour = Picture::File(golden("colour.png"));
    let grey = colour.pixels().unwrap().into_owned().with_channels(1);
    let wanted = floats(&expected, "colour.png.grey");
    assert!(
        grey.values
            .iter()
            .zip(wanted)
            .all(|(a, b)| f32::from(*a) == b)
    );
}

/// A folder with a class per subfolder.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (class, file) in [
        ("dog", "colour.png"),
        ("cat", "grey.png"),
        ("cat", "photo.jpg"),
    ] {
        let deep = dir.path().join(class).join("deeper");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::copy(golden(file), deep.join(file)).unwrap();
    }
    std::fs::write(dir.path().join("cat/.DS_Store"), "x").unwrap();
    dir
}

#[test]
fn a_folder_has_a_class_per_subfolder_and_the_classes_take_turns() {
    let dir = folder();
    let options = PictureOptions::default();
    let read = read_pictures(dir.path(), &options).unwrap();
    assert_eq!(read.labels, ["cat", "dog", "cat"]);
    let labels = read.label_set().unwrap();
    assert_eq!(
        read.targets(&labels).unwrap(),
        [Target::Class(0), Target::Class(1), Target::Class(0)]
    );
    assert_eq!(read.pictures[1].size().unwrap(), (41, 29));
    assert_eq!(read.first(2).label_set().unwrap().len(), 2);
    let fewer = read.first(1).label_set().unwrap();
    let error = read.targets(&fewer).unwrap_err().to_string();
    assert!(
        error.contains("[\"dog\"]") && error.contains("cat"),
        "{error}"
    );
    let unlabelled = PictureOptions {
        labelled: false,
        ..options
    };
    let read = read_pictures(&dir.path().join("cat"), &unlabelled).unwrap();
    assert_eq!((read.pictures.len(), read.labels.len()), (2, 0));
    let one = read_pictures(&golden("grey.png"), &unlabelled).unwrap();
    assert_eq!(one.pictures.len(), 1);
    let error = read_pictures(&golden("expected.json"), &unlabelled).unwrap_err();
    assert!(error.to_string().contains("one image"), "{error}");
}

#[test]
fn broken_images_are_named_all_of_them_before_training() {
    let dir = folder();
    std::fs::write(dir.path().join("dog/empty.png"), "").unwrap();
    std::fs::write(dir.path().join("cat/text.jpg"), "no image").unwrap();
    let error = read_pictures(dir.path(), &PictureOptions::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("2 unusable"), "{error}");
    assert!(
        error.contains("empty.png") && error.contains("text.jpg"),
        "{error}"
    );

    let dir = folder();
    std::fs::write(dir.path().join("dog/notes.txt"), "x").unwrap();
    std::fs::copy(golden("grey.png"), dir.path().join("stray.png")).unwrap();
    std::fs::create_dir(dir.path().join("bird")).unwrap();
    let error = read_pictures(dir.path(), &PictureOptions::default()).unwrap_err();
    let error = error.to_string();
    for part in ["3 unusable", "notes.txt", "stray.png", "bird"] {
        assert!(error.contains(part), "{part}: {error}");
    }

    let flat = tempfile::tempdir().unwrap();
    std::fs::copy(golden("grey.png"), flat.path().join("a.png")).unwrap();
    let error = read_pictures(flat.path(), &PictureOptions::default()).unwrap_err();
    assert!(error.to_string().contains("folder per class"), "{error}");
    let nothing = tempfile::tempdir().unwrap();
    let error = read_pictures(nothing.path(), &PictureOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no rows"), "{error}");

    let cut = flat.path().join("cut.png");
    let whole = std::fs::read(golden("colour.png")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let error = Picture::File(cut).pixels().unwrap_err().to_string();
    assert!(error.contains("cut.png"), "{error}");
    // A header that claims 100000 x 100000 pixels, with its checksum: nothing is allocated for it.
    let huge = flat.path().join("huge.png");
    let mut bytes = whole;
    bytes[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    std::fs::write(&huge, bytes).unwrap();
    let error = Picture::File(huge).pixels().unwrap_err().to_string();
    assert!(error.contains("PEFT_LIMIT_PIXELS"), "{error}");
}

#[test]
fn a_processor_that_does_not_fit_is_refused_by_name() {
    let path = Path::new("preprocessor_config.json");
    for (settings, wanted) in [
        (json!({"image_mean": [0.5, 0.5]}), "image_mean"),
        (json!({"image_std": [0.5, 0.0, 0.5]}), "image_std"),
        (json!({"size": "large"}), "size"),
        (json!({"size": 1_000_000_000_000_u64}), "size"),
        (json!({"resample": 9}), "resample"),
        (json!({"do_resize": 1}), "do_resize"),
        (json!({"rescale_factor": "x"}), "rescale_factor"),
        (json!({"size": 9}), "8 x 8 pixels"),
        (json!({"do_center_crop": true, "crop_size": 9}), "crop_size"),
    ] {
        let error = ImageProcessor::parse(path, &settings.to_string(), 3, 8).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    assert!(ImageProcessor::parse(path, "[", 3, 8).is_err());
    let missing = ImageProcessor::load(Path::new("nowhere"), 3, 8).unwrap_err();
    assert!(missing.to_string().contains("image_mean"), "{missing}");
    let plain = json!({"do_resize": false, "image_mean": 0.5}).to_string();
    let plain = ImageProcessor::parse(path, &plain, 3, 8).unwrap();
    let error = plain
        .values(&grey(2, &[1, 2, 3, 4]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("2 x 2") && error.contains("8 x 8"),
        "{error}"
    );
    let shortest = json!({"size": {"shortest_edge": 8}, "do_center_crop": true, "crop_size": 8});
    let shortest = ImageProcessor::parse(path, &shortest.to_string(), 1, 8).unwrap();
    let line = Picture::Pixels(Pixels {
        width: 1 << 24,
        height: 1,
        channels: 1,
        values: vec![0; 1 << 24],
    });
    let error = shortest.values(&line).unwrap_err().to_string();
    assert!(error.contains("more than"), "{error}");
    let crop = json!({"do_resize": false, "do_center_crop": true, "crop_size": 8});
    let crop = ImageProcessor::parse(path, &crop.to_string(), 1, 8).unwrap();
    let error = crop
        .values(&grey(2, &[1, 2, 3, 4]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 x 2"), "{error}");
}
