//! Images against `transformers` (tools/golden/images.py), the forms they come in, and what is wrong with broken ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use peft_train::data::{ImageProcessor, Picture, PictureOptions, Pixels, Target, read_pictures};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// One step of 255 after normalising by a deviation of 0.26: resizing in fixed point may round the other way.
const ONE_STEP: f32 = 1.05 / 255.0 / 0.26;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/images")
        .join(name)
}

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
fn a_folder_has_a_class_per_subfolder_in_sorted_order() {
    let dir = folder();
    let options = PictureOptions::default();
    let mut read = read_pictures(dir.path(), &options).unwrap();
    assert_eq!(read.labels, ["cat", "cat", "dog"]);
    let labels = read.label_set().unwrap();
    assert_eq!(
        read.targets(&labels).unwrap(),
        [Target::Class(0), Target::Class(0), Target::Class(1)]
    );
    assert_eq!(read.pictures[2].size().unwrap(), (41, 29));
    read.truncate(2);
    let fewer = read.label_set().unwrap();
    let all = read_pictures(dir.path(), &options).unwrap();
    let error = all.targets(&fewer).unwrap_err().to_string();
    assert!(error.contains("`dog`") && error.contains("cat"), "{error}");
    let unlabelled = PictureOptions {
        labelled: false,
        ..options
    };
    let read = read_pictures(&dir.path().join("cat"), &unlabelled).unwrap();
    assert_eq!((read.pictures.len(), read.labels.len()), (2, 0));
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
    let error = read_pictures(dir.path(), &PictureOptions::default()).unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");

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
}

fn write(dir: &Path, name: &str, text: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn grey(side: usize, values: &[u8]) -> Picture {
    Picture::Pixels(Pixels {
        width: side,
        height: side,
        channels: 1,
        values: values.to_vec(),
    })
}

#[test]
fn tables_of_pixels_are_read_with_and_without_header_and_packed() {
    let dir = tempfile::tempdir().unwrap();
    let options = |columns: Option<&str>| PictureOptions {
        columns: columns.map(|columns| columns.parse().unwrap()),
        ..PictureOptions::default()
    };
    let last = write(
        dir.path(),
        "last.csv.gz",
        &packed(b"1,2,3,4.0,seven\n5,6,7,255,8\n"),
    );
    let read = read_pictures(&last, &options(None)).unwrap();
    assert_eq!(
        read.pictures,
        [grey(2, &[1, 2, 3, 4]), grey(2, &[5, 6, 7, 255])]
    );
    assert_eq!(read.labels, ["seven", "8"]);
    let read = read_pictures(&last, &options(Some("pixels,label"))).unwrap();
    assert_eq!(read.labels, ["seven", "8"]);

    let first = write(dir.path(), "first.csv", b"9,1,2,3,4\n");
    let read = read_pictures(&first, &options(Some("label,pixels"))).unwrap();
    assert_eq!(
        (read.labels[0].as_str(), &read.pictures[0]),
        ("9", &grey(2, &[1, 2, 3, 4]))
    );

    let headed = write(dir.path(), "headed.csv", b"a,b,label,c,d\r\n1,2,9,3,4\r\n");
    let read = read_pictures(&headed, &options(None)).unwrap();
    assert_eq!(
        (read.labels[0].as_str(), &read.pictures[0]),
        ("9", &grey(2, &[1, 2, 3, 4]))
    );

    let bare = write(dir.path(), "bare.csv", b"1,2,3,4\n");
    let unlabelled = PictureOptions {
        labelled: false,
        ..PictureOptions::default()
    };
    assert_eq!(read_pictures(&bare, &unlabelled).unwrap().pictures.len(), 1);
    let error = read_pictures(&bare, &options(None)).unwrap_err();
    assert!(error.to_string().contains("no labels"), "{error}");
}

#[test]
fn rows_of_a_table_that_are_no_images_are_named_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let options = PictureOptions::default();
    for (text, wanted) in [
        (&b"1,2,3\n"[..], "square number"),
        (b"1,2,3,4,a\n1,2,3,300,a\n", "line 2: column `4`"),
        (b"1,2,3,4,a\n1,2,3\n", "line 2: expected 5 cells"),
        (b"1,2,3,4,a\n1,2,3,4,\n", "line 2: column `label`"),
        (b"", "no rows"),
    ] {
        let file = write(dir.path(), "bad.csv", text);
        let error = read_pictures(&file, &options).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let broken = write(dir.path(), "broken.csv.gz", b"not packed");
    let error = read_pictures(&broken, &options).unwrap_err();
    assert!(error.to_string().contains("broken.csv.gz"), "{error}");
    assert!("rows".parse::<peft_train::data::PixelColumns>().is_err());
}

#[test]
fn idx_files_are_read_with_the_labels_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let images = [
        &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..],
        &[1, 2, 3, 4, 5, 6, 7, 8],
    ];
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 7, 3];
    let path = write(
        dir.path(),
        "t-images-idx3-ubyte.gz",
        &packed(&images.concat()),
    );
    write(dir.path(), "t-labels-idx1-ubyte.gz", &packed(&labels));
    let options = PictureOptions::default();
    let read = read_pictures(&path, &options).unwrap();
    assert_eq!(read.labels, ["7", "3"]);
    assert_eq!(read.pictures[1], grey(2, &[5, 6, 7, 8]));
    assert_eq!(
        read.label_set().unwrap().names().collect::<Vec<_>>(),
        ["3", "7"]
    );

    write(dir.path(), "t-labels-idx1-ubyte.gz", &packed(&labels[..9]));
    let error = read_pictures(&path, &options).unwrap_err().to_string();
    assert!(error.contains("t-labels-idx1"), "{error}");
    // A head that claims more than the file holds decides no allocation.
    let claims = [
        0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1,
    ];
    let path = write(dir.path(), "u-images-idx3-ubyte", &claims);
    let error = read_pictures(&path, &options).unwrap_err().to_string();
    assert!(error.contains("u-images"), "{error}");
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
    ] {
        let error = ImageProcessor::parse(path, &settings.to_string(), 3, 8).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    assert!(ImageProcessor::parse(path, "[", 3, 8).is_err());
    let missing = ImageProcessor::load(Path::new("nowhere"), 3, 8).unwrap_err();
    assert!(missing.to_string().contains("image_mean"), "{missing}");
    let other = ImageProcessor::parse(path, r#"{"size": 9}"#, 3, 8).unwrap();
    let error = other
        .values(&grey(2, &[1, 2, 3, 4]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("9 x 9") && error.contains("8 x 8"),
        "{error}"
    );
    let crop = json!({"do_resize": false, "do_center_crop": true, "crop_size": 8});
    let crop = ImageProcessor::parse(path, &crop.to_string(), 1, 8).unwrap();
    let error = crop
        .values(&grey(2, &[1, 2, 3, 4]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 x 2"), "{error}");
}
