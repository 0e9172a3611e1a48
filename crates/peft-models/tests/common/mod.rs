//! What the integration tests share: golden folders, expected tensors, comparison, folders to break.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use peft_models::TokenBatch;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;

/// The folder `tests/golden/<name>`.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The tensors of a golden folder's `expected.safetensors`.
pub(crate) struct Expected(Vec<u8>);

impl Expected {
    pub(crate) fn of(name: &str) -> Self {
        Self(fs::read(golden(name).join("expected.safetensors")).unwrap())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.0)
            .unwrap()
            .tensor(name)
            .is_ok()
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let (values, _) = file.tensor(name).unwrap().data().as_chunks::<4>();
        values
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    }

    /// The rows of an integer matrix.
    pub(crate) fn full_rows(&self, name: &str) -> Vec<Vec<u32>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I64);
        let (values, _) = tensor.data().as_chunks::<8>();
        let values: Vec<u32> = values
            .iter()
            .map(|bytes| u32::try_from(i64::from_le_bytes(*bytes)).unwrap())
            .collect();
        values
            .chunks(tensor.shape()[1])
            .map(<[u32]>::to_vec)
            .collect()
    }

    /// The rows of an integer matrix, without padding.
    pub(crate) fn rows(&self, name: &str) -> Vec<Vec<u32>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let integers = |name: &str| -> Vec<i64> {
            let tensor = file.tensor(name).unwrap();
            assert_eq!(tensor.dtype(), Dtype::I64);
            tensor
                .data()
                .as_chunks::<8>()
                .0
                .iter()
                .map(|bytes| i64::from_le_bytes(*bytes))
                .collect()
        };
        let width = file.tensor(name).unwrap().shape()[1];
        let mask = integers("attention_mask");
        let values = integers(name);
        let row = |(values, mask): (&[i64], &[i64])| {
            let kept = values.iter().zip(mask).filter(|(_, mask)| **mask == 1);
            kept.map(|(value, _)| u32::try_from(*value).unwrap())
                .collect()
        };
        values
            .chunks(width)
            .zip(mask.chunks(width))
            .map(row)
            .collect()
    }

    pub(crate) fn batch(&self, pad_id: u32, device: &Device) -> TokenBatch {
        let types = self
            .has("token_type_ids")
            .then(|| self.rows("token_type_ids"));
        TokenBatch::new(&self.rows("input_ids"), types.as_deref(), pad_id, device).unwrap()
    }
}

pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Fails unless every pair differs by less than `tolerance` and the expectation is not all zeros.
pub(crate) fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "number of values");
    assert!(
        expected.iter().any(|value| value.abs() > 10.0 * tolerance),
        "the expectation is all zeros"
    );
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0.0, |worst: f32, difference| {
        if difference > worst || difference.is_nan() {
            difference
        } else {
            worst
        }
    });
    assert!(worst < tolerance, "largest difference {worst}");
}

/// A tensor of a safetensors file that a test writes.
pub(crate) struct Raw {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// All tensors of a folder's `model.safetensors`, by name.
pub(crate) fn read_raw(dir: &Path) -> Vec<Raw> {
    let bytes = fs::read(dir.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let raw = |(name, view): (String, TensorView<'_>)| Raw {
        name,
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    let mut tensors: Vec<Raw> = file.tensors().into_iter().map(raw).collect();
    tensors.sort_by(|left, right| left.name.cmp(&right.name));
    tensors
}

pub(crate) fn write_raw(dir: &Path, tensors: &[Raw]) {
    let views = tensors.iter().map(|raw| {
        let view = TensorView::new(raw.dtype, raw.shape.clone(), &raw.bytes).unwrap();
        (raw.name.clone(), view)
    });
    fs::write(
        dir.join("model.safetensors"),
        serialize(views, None).unwrap(),
    )
    .unwrap();
}

/// A copy of a golden folder whose tensors and configuration a test has changed.
pub(crate) fn changed(
    name: &str,
    change: impl FnOnce(&mut Vec<Raw>),
    change_config: impl FnOnce(&mut Value),
) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut tensors = read_raw(&golden(name));
    change(&mut tensors);
    write_raw(dir.path(), &tensors);
    let text = fs::read_to_string(golden(name).join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    change_config(&mut config);
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}
