//! Names of files and tensors in the folder of a basis, and matrices to and from tensors.

use std::fs;
use std::path::{Path, PathBuf};

use faer::{Mat, MatRef};
use peft_format::file::HostTensor;

use super::manifest::Side;

pub(super) const COMPONENTS: &str = "components.safetensors";
pub(super) const LOADINGS: &str = "loadings";

pub(super) fn component_key(site: &str, side: Side) -> String {
    format!("{site}.components_{}", side.name())
}

pub(super) fn mean_key(site: &str, side: Side) -> String {
    format!("{site}.mean_{}", side.name())
}

pub(super) fn loadings_key(site: &str, side: Side) -> String {
    format!("{site}.loadings_{}", side.name())
}

pub(super) fn loadings_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(LOADINGS).join(format!("{name}.safetensors"))
}

/// Whether a folder is what a killed build left behind: parts of a basis and no list of them, so that nothing of it can be used.
pub(super) fn is_leftover(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().all(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        [COMPONENTS, LOADINGS].contains(&name.as_ref()) || name.starts_with(".peft")
    })
}

/// A matrix as a tensor of its shape, row by row, in single precision.
#[allow(
    clippy::cast_possible_truncation,
    reason = "files hold single precision"
)]
pub(crate) fn to_tensor(matrix: MatRef<'_, f64>) -> HostTensor {
    let rows = matrix.row_iter();
    HostTensor {
        shape: vec![matrix.nrows(), matrix.ncols()],
        data: rows
            .flat_map(|row| row.iter().map(|value| *value as f32))
            .collect(),
        ..HostTensor::default()
    }
}

/// The first `rows` rows of a tensor of two dimensions whose data fit its shape, with rows of zeros where it has fewer.
pub(super) fn from_tensor(tensor: &HostTensor, rows: usize) -> Mat<f64> {
    let width = tensor.shape[1];
    Mat::from_fn(rows, width, |row, column| {
        let value = tensor.data.get(row * width + column);
        value.copied().map_or(0.0, f64::from)
    })
}
