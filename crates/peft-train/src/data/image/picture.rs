//! One image: a file that is decoded when it is needed, or pixels that are there already.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::raster;
use crate::TrainError;
use peft_core::file::input::{PICTURE_LIMIT, read_plain};

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
    /// [`TrainError::Picture`] when the file is no image, [`TrainError::WithoutFeature`] for every file without the feature `images`.
    pub fn size(&self) -> Result<(usize, usize), TrainError> {
        match self {
            Self::Pixels(pixels) => Ok((pixels.width, pixels.height)),
            Self::File(path) => raster::size(path),
        }
    }

    /// The pixels, turned as the camera's note in the file says.
    ///
    /// # Errors
    /// [`TrainError::Picture`] when the file is no image, is cut short or claims an absurd size, [`TrainError::WithoutFeature`] for every
    /// file without the feature `images`.
    pub fn pixels(&self) -> Result<Cow<'_, Pixels>, TrainError> {
        match self {
            Self::Pixels(pixels) => Ok(Cow::Borrowed(pixels)),
            Self::File(path) => raster::decode(path, &read(path)?).map(Cow::Owned),
        }
    }
}

/// The bytes of an image file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    read_plain(path, PICTURE_LIMIT).map_err(|source| unreadable(path, source))
}

/// What the system said of a file that cannot be read.
pub(super) fn unreadable(path: &Path, source: std::io::Error) -> TrainError {
    TrainError::Read {
        path: path.to_path_buf(),
        source,
    }
}
