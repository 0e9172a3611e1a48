//! A folder with a subfolder per class, as `ImageFolder` of torchvision and the `imagefolder` of datasets have it.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Picture;
use super::leftovers::is_leftover;
use crate::TrainError;

/// Extensions of the formats that can be decoded.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "gif", "webp"];
/// What the parts of a data set are called, those to train on first.
const TRAIN: [&str; 2] = ["train", "training"];
const OTHERS: [&str; 7] = [
    "valid",
    "validation",
    "val",
    "dev",
    "test",
    "testing",
    "eval",
];

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// The images.
    pub(super) pictures: Vec<Picture>,
    /// The class of each; empty where there are no folders of classes or none are asked for.
    pub(super) labels: Vec<String>,
    /// What is known to be no data.
    pub(super) skipped: Vec<PathBuf>,
}

/// What is found on the way through a folder.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    skipped: Vec<PathBuf>,
    faults: Vec<String>,
}

/// The images below every class with the class of each, the classes taking turns, so that the first so many are of all of them; where
/// labels are not needed, all images of the folder by their paths.
///
/// Files that are known to be no data are skipped. Any other file that is no image, an image beside the folders of the classes and a
/// class without images are errors, all of them reported; so is a folder of the parts of a data set, which are no classes.
pub(super) fn read(root: &Path, labelled: bool) -> Result<Folder, TrainError> {
    let mut all = Found::default();
    let entries = entries(root, &mut all.skipped)?;
    let has_classes = entries.iter().any(|path| path.is_dir());
    if !labelled || !has_classes {
        collect(root, &mut all)?;
        all.skipped.sort();
        all.skipped.dedup();
        return finish(root, all, vec![]);
    }
    refuse_parts(root, &entries)?;
    let mut found: Vec<(usize, PathBuf, String)> = Vec::new();
    for path in entries {
        if !path.is_dir() {
            all.faults.push(format!(
                "{}: lies beside the folders of the classes",
                path.display()
            ));
            continue;
        }
        collect(&path, &mut all)?;
        let files = std::mem::take(&mut all.files);
        if files.is_empty() {
            all.faults
                .push(format!("{}: a class without images", path.display()));
        }
        let class = path.file_name().unwrap_or_default().to_string_lossy();
        let own = files.into_iter().enumerate();
        found.extend(own.map(|(at, file)| (at, file, class.clone().into_owned())));
    }
    found.sort();
    let labels = found.iter().map(|(_, _, class)| class.clone()).collect();
    all.files = found.into_iter().map(|(_, file, _)| file).collect();
    finish(root, all, labels)
}

/// One image file.
pub(super) fn one(path: &Path) -> Result<(Vec<Picture>, Vec<String>), TrainError> {
    let found = Found {
        files: vec![path.to_path_buf()],
        ..Found::default()
    };
    Ok((finish(path, found, vec![])?.pictures, vec![]))
}

/// Refuses a root whose folders are the parts of a data set, each with a folder per class: they would become the classes.
fn refuse_parts(root: &Path, entries: &[PathBuf]) -> Result<(), TrainError> {
    let called = |path: &&PathBuf, names: &[&str]| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir() && names.contains(&name.to_ascii_lowercase().as_str())
    };
    let folders: Vec<&PathBuf> = entries.iter().filter(|path| path.is_dir()).collect();
    let train = folders.iter().find(|path| called(path, &TRAIN));
    let others: Vec<&&PathBuf> = folders
        .iter()
        .filter(|path| called(path, &OTHERS))
        .collect();
    let parts = usize::from(train.is_some()) + others.len();
    if parts == 0 || parts < folders.len() || !folders.iter().all(|part| holds_folders(part)) {
        return Ok(());
    }
    let valid = others
        .iter()
        .find(|path| !called(path, &["test", "testing"]))
        .or(others.first());
    let flag =
        |name: &str, path: Option<&PathBuf>| path.map(|path| format!("{name} {}", path.display()));
    let flags = [
        flag("--train", train.copied()),
        flag("--valid", valid.map(|path| **path)),
    ];
    let flags: Vec<String> = flags.into_iter().flatten().collect();
    Err(TrainError::Picture {
        path: root.to_path_buf(),
        message: format!(
            "holds the parts of a data set, which are no classes; give the part itself: {}",
            flags.join(" ")
        ),
    })
}

/// Whether a folder holds folders, and no image beside them.
fn holds_folders(path: &Path) -> bool {
    let Ok(entries) = entries(path, &mut Vec::new()) else {
        return false;
    };
    entries.iter().any(|path| path.is_dir()) && !entries.iter().any(|path| is_image(path))
}

/// Reads the header of every file, so that a broken one is known before training begins rather than hours later; reports all faults.
fn finish(root: &Path, found: Found, labels: Vec<String>) -> Result<Folder, TrainError> {
    let pictures: Vec<Picture> = found.files.into_iter().map(Picture::File).collect();
    let broken = pictures
        .par_iter()
        .filter_map(|picture| match picture.size() {
            Ok((width, height)) if width > 0 && height > 0 => None,
            Ok(_) => Some(format!("{:?}: an image without pixels", picture.file())),
            Err(error) => Some(error.to_string()),
        });
    let mut faults = found.faults;
    faults.extend(broken.collect::<Vec<String>>());
    if faults.is_empty() {
        return Ok(Folder {
            pictures,
            labels,
            skipped: found.skipped,
        });
    }
    Err(TrainError::Pictures {
        path: root.to_path_buf(),
        count: faults.len(),
        faults,
    })
}

/// Every image below `folder`.
fn collect(folder: &Path, found: &mut Found) -> Result<(), TrainError> {
    for path in entries(folder, &mut found.skipped)? {
        if path.is_dir() {
            collect(&path, found)?;
        } else if is_image(&path) {
            found.files.push(path);
        } else {
            found.faults.push(format!(
                "{}: is no image by its name, expected one of {}; convert or remove it",
                path.display(),
                EXTENSIONS.join(", ")
            ));
        }
    }
    Ok(())
}

/// What is in a folder, sorted; what is known to be no data goes to `skipped`.
fn entries(folder: &Path, skipped: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, TrainError> {
    let failed = |source| TrainError::Read {
        path: folder.to_path_buf(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_leftover(&path) {
            skipped.push(path);
        } else {
            paths.push(path);
        }
    }
    paths.sort();
    skipped.sort();
    Ok(paths)
}

/// Whether the name is one of an image.
pub(super) fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}
