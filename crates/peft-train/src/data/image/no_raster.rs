//! The module `raster` of programs without the feature `images`: tables of pixels and idx files in the size of the model can be used, files
//! of images cannot.

use std::path::Path;

use super::Pixels;
use super::filter::Filter;
use crate::TrainError;

/// Refuses the header of every file.
pub(super) fn size(path: &Path) -> Result<(usize, usize), TrainError> {
    Err(refused(path))
}

/// Refuses every file.
pub(super) fn decode(path: &Path, _bytes: &[u8]) -> Result<Pixels, TrainError> {
    Err(refused(path))
}

/// Refuses every change of size.
pub(super) fn stretched(
    _pixels: Pixels,
    _width: usize,
    _height: Option<usize>,
    _filter: Filter,
) -> Result<Pixels, String> {
    Err(
        "has to be resized, but this program was built without the feature `images` of peft-train"
            .into(),
    )
}

fn refused(path: &Path) -> TrainError {
    TrainError::WithoutFeature {
        path: path.to_path_buf(),
        feature: "images",
        purpose: "decodes files of images",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Picture;

    #[test]
    fn a_file_of_an_image_names_the_feature() {
        let picture = Picture::File("cat.png".into());
        let error = picture
            .size()
            .map_or_else(|e| e.to_string(), |_| String::new());
        assert!(
            error.contains("cat.png") && error.contains("`images`"),
            "{error}"
        );
    }
}
