//! How a source of images is read.

use std::str::FromStr;

use crate::TrainError;

/// How a source of images is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureOptions {
    /// What the columns of a table of pixels without a header are; `None` where the label is a word or there is none.
    pub columns: Option<PixelColumns>,
    /// The column of a table with a header that holds the label.
    pub label_column: String,
    /// Whether images without labels are an error.
    pub labelled: bool,
}

impl Default for PictureOptions {
    fn default() -> Self {
        Self {
            columns: None,
            label_column: "label".to_owned(),
            labelled: true,
        }
    }
}

/// What the columns of a table without a header are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelColumns {
    /// The label, then the pixels (MNIST in CSV).
    LabelFirst,
    /// The pixels, then the label (the digits of scikit-learn).
    LabelLast,
    /// Pixels alone.
    Unlabelled,
}

impl FromStr for PixelColumns {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text {
            "label,pixels" => Ok(Self::LabelFirst),
            "pixels,label" => Ok(Self::LabelLast),
            "pixels" => Ok(Self::Unlabelled),
            _ => Err(TrainError::Option {
                option: "columns",
                expected: "for images: `label,pixels`, `pixels,label` or `pixels`".to_owned(),
                found: text.to_owned(),
            }),
        }
    }
}
