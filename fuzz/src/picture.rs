//! Images: one file in each of the formats, a packed table of pixels, an idx file.

use peft_train::data::{PictureOptions, Pictures, read_pictures};

use crate::scratch;

/// What the input is called, by its first byte.
const NAMES: [&str; 8] = [
    "a.png",
    "a.jpg",
    "a.gif",
    "a.bmp",
    "a.webp",
    "pixels.csv",
    "pixels.csv.gz",
    "t-images-idx3-ubyte",
];

/// Does with the bytes what the program does with such a file.
///
/// # Panics
/// When a reader contradicts itself: a finding.
pub fn run(bytes: &[u8]) {
    let Some((choice, content)) = bytes.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*choice) % NAMES.len()];
    scratch::with_file_called(name, content, |path| {
        for labelled in [false, true] {
            let options = PictureOptions {
                labelled,
                ..PictureOptions::default()
            };
            if let Ok(read) = read_pictures(path, &options) {
                check(&read);
            }
        }
    });
}

fn check(read: &Pictures) {
    let _sound = read.verify();
    for picture in read.pictures.iter().take(4) {
        let (size, pixels) = (picture.size(), picture.pixels());
        let (Ok((width, height)), Ok(pixels)) = (size, pixels) else {
            continue;
        };
        assert_eq!(
            pixels.values.len(),
            pixels.width * pixels.height * pixels.channels
        );
        // The camera may have been held upright.
        let turned = (width, height) == (pixels.height, pixels.width);
        assert!(turned || (width, height) == (pixels.width, pixels.height));
    }
}
