//! Images to the numbers a model was trained on: resized, cropped, scaled and normalised as `preprocessor_config.json` says.

use std::path::{Path, PathBuf};

use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use serde_json::{Map, Value};

use super::filter::Filter;
use super::raster::stretched;
use super::{Picture, Pixels};
use crate::TrainError;

/// Name of the file in a model folder.
const FILE: &str = "preprocessor_config.json";

/// The most pixels that resizing may make: an image a million times as wide as high is no picture.
const MAX_PIXELS: usize = 1 << 26;

/// What the shorter or both sides become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// Height and width, whatever the proportions were.
    Exact(usize, usize),
    /// The shorter side; the proportions stay.
    Shortest(usize),
}

/// The image processor of a model: `y = (scale * x - mean) / std` of the resized and cropped image.
///
/// Resizing is Python Imaging Library's, which filters over all pixels it takes away.
#[derive(Debug, Clone)]
pub struct ImageProcessor {
    path: PathBuf,
    resize: Option<(Size, Filter)>,
    crop: Option<(usize, usize)>,
    scale: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
    channels: usize,
    side: usize,
}

impl ImageProcessor {
    /// Reads the processor of the model folder `dir`, whose model takes square images of `channels` and `side`.
    ///
    /// # Errors
    /// [`TrainError::Picture`] when the file is missing or broken, says something that is not known, or does not fit the model.
    pub fn load(dir: &Path, channels: usize, side: usize) -> Result<Self, TrainError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(TrainError::Picture {
                path,
                message: format!(
                    "is missing; a model of images needs it, for example {{\"size\": {{\"height\": {side}, \"width\": {side}}}, \
                     \"image_mean\": [0.5], \"image_std\": [0.5]}} with one number per colour"
                ),
            });
        }
        Self::parse(&path, &Self::source(dir)?, channels, side)
    }

    /// The text of the file in a model folder.
    ///
    /// # Errors
    /// [`TrainError::Read`].
    pub fn source(dir: &Path) -> Result<String, TrainError> {
        let path = dir.join(FILE);
        read_plain_text(&path, CONFIG_LIMIT).map_err(|source| TrainError::Read { path, source })
    }

    /// As [`Self::load`], from the text of the file.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(
        path: &Path,
        text: &str,
        channels: usize,
        side: usize,
    ) -> Result<Self, TrainError> {
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| TrainError::Picture {
                path: path.to_path_buf(),
                message: error.to_string(),
            })?;
        let fields = Fields { path, fields };
        let filter = fields.filter()?;
        let size = fields.size("size", (side, side))?;
        let crop = match fields.size("crop_size", (side, side))? {
            Size::Exact(height, width) => (height, width),
            Size::Shortest(side) => (side, side),
        };
        let resizes = fields.flag("do_resize", true)?;
        let crops = fields.flag("do_center_crop", false)?;
        for (field, is, made) in [
            ("size", resizes && !crops, size),
            ("crop_size", crops, Size::Exact(crop.0, crop.1)),
        ] {
            if let Size::Exact(height, width) = made
                && is
                && (height, width) != (side, side)
            {
                let expected = format!("{side} x {side} pixels, which the model takes");
                return Err(fields.wrong(field, &expected, &format!("{height} x {width}")));
            }
        }
        let constant = |key, default| fields.per_channel(key, channels, default);
        let processor = Self {
            resize: resizes.then_some((size, filter)),
            crop: crops.then_some(crop),
            scale: match fields.flag("do_rescale", true)? {
                true => fields.number("rescale_factor", 1.0 / 255.0)?,
                false => 1.0,
            },
            mean: constant("image_mean", 0.5)?,
            std: constant("image_std", 0.5)?,
            channels,
            side,
            path: path.to_path_buf(),
        };
        if fields.flag("do_normalize", true)? {
            return match processor.std.iter().find(|std| **std <= 0.0) {
                Some(std) => Err(fields.wrong("image_std", "numbers above 0", &std.to_string())),
                None => Ok(processor),
            };
        }
        Ok(Self {
            mean: vec![0.0; channels],
            std: vec![1.0; channels],
            ..processor
        })
    }

    /// The values of one image, `[channels, side, side]`.
    ///
    /// # Errors
    /// [`TrainError::Picture`] when the file cannot be decoded, or the image does not get the size that the model takes.
    pub fn values(&self, picture: &Picture) -> Result<Vec<f32>, TrainError> {
        let place = picture.file().unwrap_or(&self.path);
        let wrong = |message: String| TrainError::Picture {
            path: place.to_path_buf(),
            message,
        };
        let mut pixels = picture.pixels()?.into_owned().with_channels(self.channels);
        if let Some((size, filter)) = self.resize {
            pixels = resized(pixels, size, filter).map_err(wrong)?;
        }
        if let Some(size) = self.crop {
            pixels = cropped(&pixels, size).map_err(wrong)?;
        }
        if (pixels.height, pixels.width) != (self.side, self.side) {
            return Err(wrong(format!(
                "becomes {} x {} pixels, expected {side} x {side}; see size and crop_size in {}",
                pixels.height,
                pixels.width,
                self.path.display(),
                side = self.side
            )));
        }
        let mut values = Vec::with_capacity(pixels.values.len());
        for channel in 0..self.channels {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let own = pixels.values.iter().skip(channel).step_by(self.channels);
            values.extend(own.map(|value| (f32::from(*value) * self.scale - mean) / std));
        }
        Ok(values)
    }
}

fn resized(pixels: Pixels, size: Size, filter: Filter) -> Result<Pixels, String> {
    let (height, width) = match size {
        Size::Exact(height, width) => (height, width),
        Size::Shortest(side) => {
            let shorter = pixels.height.min(pixels.width).max(1);
            let longer = |length: usize| (side as f64 * length as f64 / shorter as f64) as usize;
            match pixels.height <= pixels.width {
                true => (side, longer(pixels.width)),
                false => (longer(pixels.height), side),
            }
        }
    };
    if (height, width) == (pixels.height, pixels.width) {
        return Ok(pixels);
    }
    if height.saturating_mul(width) > MAX_PIXELS {
        return Err(format!(
            "has {} x {} pixels and would become {height} x {width}, more than {MAX_PIXELS}",
            pixels.height, pixels.width
        ));
    }
    // Rows first, then columns, as the Python Imaging Library goes: a filter that overshoots is cut at black and white in between.
    let rows = stretched(pixels, width, None, filter)?;
    stretched(rows, width, Some(height), filter)
}

/// The middle of an image.
fn cropped(pixels: &Pixels, (height, width): (usize, usize)) -> Result<Pixels, String> {
    if height > pixels.height || width > pixels.width {
        return Err(format!(
            "has {} x {} pixels, fewer than the {height} x {width} to be cut out",
            pixels.height, pixels.width
        ));
    }
    let (top, left) = ((pixels.height - height) / 2, (pixels.width - width) / 2);
    let channels = pixels.channels;
    let rows = pixels.values.chunks_exact(pixels.width * channels);
    let kept = rows.skip(top).take(height);
    let values = kept.flat_map(|row| &row[left * channels..(left + width) * channels]);
    Ok(Pixels {
        width,
        height,
        channels,
        values: values.copied().collect(),
    })
}

/// The fields of a preprocessor_config.json.
struct Fields<'a> {
    path: &'a Path,
    fields: Map<String, Value>,
}

impl Fields<'_> {
    fn wrong(&self, field: &str, expected: &str, found: &str) -> TrainError {
        TrainError::Picture {
            path: self.path.to_path_buf(),
            message: format!("field `{field}`: expected {expected}, found {found}"),
        }
    }

    fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn flag(&self, field: &str, default: bool) -> Result<bool, TrainError> {
        self.get(field).map_or(Ok(default), |value| {
            let flag = value.as_bool();
            flag.ok_or_else(|| self.wrong(field, "true or false", &value.to_string()))
        })
    }

    fn number(&self, field: &str, default: f32) -> Result<f32, TrainError> {
        self.get(field).map_or(Ok(default), |value| {
            let number = value.as_f64().map(|number| number as f32);
            let number = number.filter(|number| number.is_finite());
            number.ok_or_else(|| self.wrong(field, "a number", &value.to_string()))
        })
    }

    /// One number for every channel.
    fn per_channel(
        &self,
        field: &str,
        channels: usize,
        default: f32,
    ) -> Result<Vec<f32>, TrainError> {
        let Some(value) = self.get(field) else {
            return Ok(vec![default; channels]);
        };
        let numbers = match value {
            Value::Array(numbers) => numbers.iter().map(Value::as_f64).collect(),
            one => one.as_f64().map(|one| vec![one; channels]),
        };
        let numbers = numbers.filter(|numbers: &Vec<f64>| numbers.len() == channels);
        let numbers = numbers
            .ok_or_else(|| self.wrong(field, &format!("{channels} numbers"), &value.to_string()))?;
        Ok(numbers.into_iter().map(|number| number as f32).collect())
    }

    /// `{"height", "width"}`, `{"shortest_edge"}`, or one number for both sides.
    fn size(&self, field: &str, default: (usize, usize)) -> Result<Size, TrainError> {
        let Some(value) = self.get(field) else {
            return Ok(Size::Exact(default.0, default.1));
        };
        let side = |value: &Value| {
            let side = value.as_u64().and_then(|side| usize::try_from(side).ok());
            side.filter(|side| (1..=1 << 14).contains(side))
        };
        let of = |key: &str| value.get(key).and_then(side);
        let size = match (of("height"), of("width"), of("shortest_edge"), side(value)) {
            (Some(height), Some(width), _, _) => Some(Size::Exact(height, width)),
            (_, _, Some(shortest), _) => Some(Size::Shortest(shortest)),
            (_, _, _, Some(both)) => Some(Size::Exact(both, both)),
            _ => None,
        };
        let expected = "a number of pixels, height and width, or shortest_edge";
        size.ok_or_else(|| self.wrong(field, expected, &value.to_string()))
    }

    /// The filter by the number that Python Imaging Library gives it.
    fn filter(&self) -> Result<Filter, TrainError> {
        let Some(value) = self.get("resample") else {
            return Ok(Filter::Bilinear);
        };
        Ok(match value.as_u64() {
            Some(0) => Filter::Nearest,
            Some(1) => Filter::Lanczos,
            Some(2) => Filter::Bilinear,
            Some(3) => Filter::Bicubic,
            _ => {
                return Err(self.wrong(
                    "resample",
                    "0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 (bicubic)",
                    &value.to_string(),
                ));
            }
        })
    }
}
