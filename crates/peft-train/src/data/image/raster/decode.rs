//! Files of images to pixels.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;
use std::sync::Mutex;

use image::{DynamicImage, ImageDecoder, ImageReader};
use peft_core::file::input::PIXELS_LIMIT;

use super::super::Pixels;
use super::super::picture::unreadable;
use super::jpeg;
use crate::TrainError;

/// Bytes of pixels from which an image is unpacked while no other large one is.
const LARGE: u64 = 32 << 20;
static ALONE: Mutex<()> = Mutex::new(());

/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG";

/// Width and height, from the header alone.
pub(in super::super) fn size(path: &Path) -> Result<(usize, usize), TrainError> {
    let size = open(path)?.into_dimensions();
    let (width, height) = size.map_err(|error| broken(path, &error))?;
    Ok((width as usize, height as usize))
}

/// The format of an image that lacks its end, which decoders forgive.
fn cut_short(bytes: &[u8]) -> Option<&'static str> {
    if jpeg::is_jpeg(bytes) && !jpeg::is_whole(bytes) {
        return Some("JPEG");
    }
    let is_cut = bytes.starts_with(PNG) && !bytes.windows(4).rev().any(|chunk| chunk == b"IEND");
    is_cut.then_some("PNG")
}

/// The pixels of the bytes of a file.
pub(in super::super) fn decode(path: &Path, bytes: &[u8]) -> Result<Pixels, TrainError> {
    if let Some(format) = cut_short(bytes) {
        return Err(TrainError::Picture {
            path: path.to_path_buf(),
            message: format!("the {format} is cut short: its end is missing"),
        });
    }
    let broken = |error| broken(path, &error);
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|source| unreadable(path, source))?;
    let mut decoder = reader.into_decoder().map_err(broken)?;
    // What a header claims decides no allocation beyond the limit, and large images are unpacked one at a time.
    let bytes = decoder.total_bytes();
    let most = PIXELS_LIMIT.get();
    if bytes > most {
        let (width, height) = decoder.dimensions();
        return Err(TrainError::Picture {
            path: path.to_path_buf(),
            message: format!(
                "{width} x {height} pixels are {} MiB unpacked, more than {} MiB: make the image smaller, or {}",
                bytes >> 20,
                most >> 20,
                PIXELS_LIMIT.way_out(most)
            ),
        });
    }
    let _alone = (bytes > LARGE).then(|| ALONE.lock());
    let orientation = decoder.orientation().map_err(broken)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (channels, values) = if image.color().has_color() {
        (3, image.into_rgb8().into_raw())
    } else {
        (1, image.into_luma8().into_raw())
    };
    Ok(Pixels {
        width,
        height,
        channels,
        values,
    })
}

/// The file, whose first bytes rather than its name say the format.
fn open(path: &Path) -> Result<ImageReader<BufReader<File>>, TrainError> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    reader.map_err(|source| unreadable(path, source))
}

fn broken(path: &Path, error: &image::ImageError) -> TrainError {
    let empty = std::fs::metadata(path).is_ok_and(|about| about.len() == 0);
    TrainError::Picture {
        path: path.to_path_buf(),
        message: match empty {
            true => "the file is empty (0 bytes)".into(),
            false => error.to_string(),
        },
    }
}
