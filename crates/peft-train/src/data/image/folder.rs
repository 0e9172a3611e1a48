//! A folder with a subfolder per class, as `ImageFolder` of torchvision and the `imagefolder` of datasets have it.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Picture;
use crate::TrainError;

/// Extensions of the formats that can be decoded.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "gif", "webp"];

/// The images below every class, sorted by path, with the class of each; where labels are not needed, all images of the folder.
///
/// Files whose names begin with a dot are passed over; any other file that is no image is an error.
pub(super) fn read(root: &Path, labelled: bool) -> Result<(Vec<Picture>, Vec<String>), TrainError> {
    let mut files = Vec::new();
    let mut labels = Vec::new();
    let classes = entries(root)?;
    let flat = !classes.iter().any(|path| path.is_dir());
    if flat || !labelled {
        collect(root, &mut files)?;
    } else {
        for class in classes.iter().filter(|path| path.is_dir()) {
            let before = files.len();
            collect(class, &mut files)?;
            let name = class.file_name().unwrap_or_default().to_string_lossy();
            labels.extend(vec![name.into_owned(); files.len() - before]);
        }
    }
    let pictures: Vec<Picture> = files.into_iter().map(Picture::File).collect();
    check(root, &pictures)?;
    Ok((pictures, labels))
}

/// Reads the header of every file, so that a broken one is known before training begins rather than hours later.
fn check(root: &Path, pictures: &[Picture]) -> Result<(), TrainError> {
    let faults = pictures
        .par_iter()
        .filter_map(|picture| match picture.size() {
            Ok((width, height)) if width > 0 && height > 0 => None,
            Ok(_) => Some(format!("{:?}: an image without pixels", picture.file())),
            Err(error) => Some(error.to_string()),
        });
    let faults: Vec<String> = faults.collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(TrainError::Pictures {
        path: root.to_path_buf(),
        count: faults.len(),
        faults,
    })
}

/// Every image below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), TrainError> {
    for path in entries(folder)? {
        if path.is_dir() {
            collect(&path, files)?;
        } else if is_image(&path) {
            files.push(path);
        } else {
            return Err(TrainError::Picture {
                path,
                message: format!(
                    "is no image by its name, expected one of {}; convert or remove it",
                    EXTENSIONS.join(", ")
                ),
            });
        }
    }
    Ok(())
}

/// What is in a folder, sorted, without hidden files.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let failed = |source| TrainError::Read {
        path: folder.to_path_buf(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}
