//! One image: a file that is decoded when it is needed, or pixels that are there already.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader};

use super::jpeg;
use crate::TrainError;

/// Pixels row after row, the channels of a pixel side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `height * width * channels` values.
    pub values: Vec<u8>,
}

impl Pixels {
    /// The same image grey (1) or in colour (3). Grey is Python Imaging Library's: `(19595 R + 38470 G + 7471 B + 32768) / 65536`.
    #[must_use]
    pub fn with_channels(self, channels: usize) -> Self {
        let values: Vec<u8> = match (self.channels, channels) {
            (1, 3) => self.values.iter().flat_map(|v| [*v; 3]).collect(),
            (3, 1) => self.values.chunks_exact(3).map(luminance).collect(),
            _ => return self,
        };
        Self {
            channels,
            values,
            ..self
        }
    }
}

fn luminance(pixel: &[u8]) -> u8 {
    let weights = [19_595_u32, 38_470, 7_471];
    let sum: u32 = pixel
        .iter()
        .zip(weights)
        .map(|(v, w)| u32::from(*v) * w)
        .sum();
    ((sum + 0x8000) >> 16) as u8
}

/// An image of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// A file in one of the formats PNG, JPEG, BMP, GIF or WebP; of an animation the first frame counts.
    File(PathBuf),
    /// Pixels from a table or an idx file.
    Pixels(Pixels),
}

impl Picture {
    /// Its file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Pixels(_) => None,
        }
    }

    /// Width and height; of a file only its header is read.
    ///
    /// # Errors
    /// [`TrainError::Picture`] when the file is no image.
    pub fn size(&self) -> Result<(usize, usize), TrainError> {
        match self {
            Self::Pixels(pixels) => Ok((pixels.width, pixels.height)),
            Self::File(path) => {
                let size = open(path)?.into_dimensions();
                let (width, height) = size.map_err(|error| broken(path, &error))?;
                Ok((width as usize, height as usize))
            }
        }
    }

    /// The pixels, turned as the camera's note in the file says.
    ///
    /// # Errors
    /// [`TrainError::Picture`] when the file is no image, is cut short or claims an absurd size.
    pub fn pixels(&self) -> Result<Cow<'_, Pixels>, TrainError> {
        match self {
            Self::Pixels(pixels) => Ok(Cow::Borrowed(pixels)),
            Self::File(path) => decode(path, &read(path)?).map(Cow::Owned),
        }
    }
}

/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG";

/// The bytes of an image file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    std::fs::read(path).map_err(|source| unreadable(path, source))
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
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Pixels, TrainError> {
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
    // What a header claims decides no allocation beyond half a gigabyte.
    let mut limits = image::Limits::default();
    limits.reserve(decoder.total_bytes()).map_err(broken)?;
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

fn unreadable(path: &Path, source: std::io::Error) -> TrainError {
    TrainError::Read {
        path: path.to_path_buf(),
        source,
    }
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
