//! A folder with a subfolder per class, as `ImageFolder` of torchvision and the `imagefolder` of datasets have it.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Picture;
use crate::TrainError;

/// Extensions of the formats that can be decoded.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "gif", "webp"];

/// The images below every class with the class of each, the classes taking turns, so that the first so many are of all of them; where
/// labels are not needed, all images of the folder by their paths.
///
/// Files whose names begin with a dot are passed over. Any other file that is no image, an image beside the folders of the classes and a
/// class without images are errors, all of them reported.
pub(super) fn read(root: &Path, labelled: bool) -> Result<(Vec<Picture>, Vec<String>), TrainError> {
    let mut faults = Vec::new();
    let entries = entries(root)?;
    let has_classes = entries.iter().any(|path| path.is_dir());
    if !labelled || !has_classes {
        let mut files = Vec::new();
        collect(root, &mut files, &mut faults)?;
        return Ok((checked(root, files, faults)?, vec![]));
    }
    let mut found: Vec<(usize, PathBuf, String)> = Vec::new();
    for path in entries {
        if !path.is_dir() {
            faults.push(format!(
                "{}: lies beside the folders of the classes",
                path.display()
            ));
            continue;
        }
        let mut files = Vec::new();
        collect(&path, &mut files, &mut faults)?;
        if files.is_empty() {
            faults.push(format!("{}: a class without images", path.display()));
        }
        let class = path.file_name().unwrap_or_default().to_string_lossy();
        let own = files.into_iter().enumerate();
        found.extend(own.map(|(at, file)| (at, file, class.clone().into_owned())));
    }
    found.sort();
    let labels = found.iter().map(|(_, _, class)| class.clone()).collect();
    let files = found.into_iter().map(|(_, file, _)| file).collect();
    Ok((checked(root, files, faults)?, labels))
}

/// One image file.
pub(super) fn one(path: &Path) -> Result<(Vec<Picture>, Vec<String>), TrainError> {
    Ok((checked(path, vec![path.to_path_buf()], vec![])?, vec![]))
}

/// Reads the header of every file, so that a broken one is known before training begins rather than hours later; reports all faults.
fn checked(
    root: &Path,
    files: Vec<PathBuf>,
    mut faults: Vec<String>,
) -> Result<Vec<Picture>, TrainError> {
    let pictures: Vec<Picture> = files.into_iter().map(Picture::File).collect();
    let broken = pictures
        .par_iter()
        .filter_map(|picture| match picture.size() {
            Ok((width, height)) if width > 0 && height > 0 => None,
            Ok(_) => Some(format!("{:?}: an image without pixels", picture.file())),
            Err(error) => Some(error.to_string()),
        });
    faults.extend(broken.collect::<Vec<String>>());
    if faults.is_empty() {
        return Ok(pictures);
    }
    Err(TrainError::Pictures {
        path: root.to_path_buf(),
        count: faults.len(),
        faults,
    })
}

/// Every image below `folder`.
fn collect(
    folder: &Path,
    files: &mut Vec<PathBuf>,
    faults: &mut Vec<String>,
) -> Result<(), TrainError> {
    for path in entries(folder)? {
        if path.is_dir() {
            collect(&path, files, faults)?;
        } else if is_image(&path) {
            files.push(path);
        } else {
            faults.push(format!(
                "{}: is no image by its name, expected one of {}; convert or remove it",
                path.display(),
                EXTENSIONS.join(", ")
            ));
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

/// Whether the name is one of an image.
pub(super) fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}
