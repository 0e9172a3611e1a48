//! Where images come from: a folder, a table of pixels or an idx file, and what they are labelled.

use std::path::{Path, PathBuf};

use super::options::PictureOptions;
use super::{Picture, folder, idx, pixel_table};
use crate::TrainError;
use crate::data::bytes::unpacked;
use crate::data::{LabelSet, Target};

/// Images with their labels.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// The folder or file they were read from, for messages.
    pub path: PathBuf,
    /// The images.
    pub pictures: Vec<Picture>,
    /// The label of each; empty when they have none.
    pub labels: Vec<String>,
    /// Files of a folder that are no data and were skipped: what systems and archives leave behind, notes and licences.
    pub skipped: Vec<PathBuf>,
}

impl Pictures {
    /// The labels that occur, in the order of [`LabelSet::fit`].
    ///
    /// # Errors
    /// When there are none.
    pub fn label_set(&self) -> Result<LabelSet, TrainError> {
        self.need_labels()?;
        Ok(LabelSet::of(self.labels.iter().cloned()))
    }

    /// Every label as a class of `labels`.
    ///
    /// # Errors
    /// When there are none, or one is unknown.
    pub fn targets(&self, labels: &LabelSet) -> Result<Vec<Target>, TrainError> {
        self.need_labels()?;
        let class = |label: &String| labels.id(label).map(Target::Class);
        let targets: Option<Vec<Target>> = self.labels.iter().map(class).collect();
        targets.ok_or_else(|| {
            let unknown = LabelSet::of(self.labels.iter().cloned());
            let unknown = unknown.names().filter(|label| labels.id(label).is_none());
            TrainError::UnknownClasses {
                path: self.path.clone(),
                unknown: unknown.map(str::to_owned).collect(),
                known: labels.len(),
                examples: labels.examples(),
            }
        })
    }

    fn need_labels(&self) -> Result<(), TrainError> {
        if self.labels.is_empty() {
            return Err(TrainError::NoLabels {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// The first `limit` of them.
    #[must_use]
    pub fn first(&self, limit: usize) -> Self {
        Self {
            path: self.path.clone(),
            pictures: self.pictures.iter().take(limit).cloned().collect(),
            labels: self.labels.iter().take(limit).cloned().collect(),
            skipped: self.skipped.clone(),
        }
    }
}

/// Reads a folder with a subfolder per class, a table of pixels (`.csv`) or an idx file (`...-images-idx3-ubyte` beside
/// `...-labels-idx1-ubyte`), the files as they are or packed (`.gz`); or one image.
///
/// # Errors
/// [`TrainError`] with the place: unreadable and broken files, no images, images without labels where labels are needed.
pub fn read_pictures(path: &Path, options: &PictureOptions) -> Result<Pictures, TrainError> {
    let mut skipped = Vec::new();
    let (pictures, labels) = if path.is_dir() {
        let found = folder::read(path, options.labelled)?;
        skipped = found.skipped;
        (found.pictures, found.labels)
    } else if idx::is_idx(path) {
        idx::read(path, options.labelled)?
    } else if is_table(path) {
        pixel_table::read(path, &unpacked(path)?, options)?
    } else if folder::is_image(path) {
        folder::one(path)?
    } else {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        return Err(TrainError::UnknownFormat {
            path: path.to_path_buf(),
            extension: extension.into_owned(),
            known: "a folder of images, csv or csv.gz (pixels), an idx file, one image",
        });
    };
    if pictures.is_empty() {
        return Err(TrainError::Empty {
            path: path.to_path_buf(),
        });
    }
    let read = Pictures {
        path: path.to_path_buf(),
        pictures,
        labels,
        skipped,
    };
    if options.labelled {
        read.need_labels()?;
    }
    Ok(read)
}

/// Whether the name is one of a table: `.csv`, packed or not.
fn is_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    name.trim_end_matches(".gz").ends_with(".csv")
}
