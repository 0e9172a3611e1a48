//! Tables of pixels and idx files: every form, and what is wrong with broken ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pictures;

use peft_train::data::{PictureOptions, read_pictures};
use pictures::{grey, packed, write};

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
        &packed(b"1,2,3,4.0,seven\n5,6,7,255,eight\n"),
    );
    let read = read_pictures(&last, &options(None)).unwrap();
    assert_eq!(
        read.pictures,
        [grey(2, &[1, 2, 3, 4]), grey(2, &[5, 6, 7, 255])]
    );
    assert_eq!(read.labels, ["seven", "eight"]);
    let word = write(
        dir.path(),
        "word.csv",
        b"label,a,b,c,d\nnone,1,2,3,4\n7,1,2,3,4\n",
    );
    assert_eq!(
        read_pictures(&word, &options(None)).unwrap().labels,
        ["none", "7"]
    );
    let numbers = write(dir.path(), "numbers.csv", b"0,1,2,3,label\n1,2,3,4,9\n");
    assert_eq!(
        read_pictures(&numbers, &options(None)).unwrap().labels,
        ["9"]
    );
    let error = read_pictures(&numbers, &options(Some("pixels,label"))).unwrap_err();
    assert!(error.to_string().contains("has a header"), "{error}");
    let read = read_pictures(&last, &options(Some("pixels,label"))).unwrap();
    assert_eq!(read.labels, ["seven", "eight"]);

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
        (b"1,2,3,4,9\n5,6,7,8,9\n", "could be either"),
        (
            b"0,1,2,3,target\n1,2,3,4,9\n5,6,7,8,9\n",
            "the first row only",
        ),
        (b"a,b,c,d,target\n1,2,3,4,9\n", "no column [\"label\"]"),
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
