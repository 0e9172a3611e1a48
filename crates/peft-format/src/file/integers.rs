//! Integer tensors of adapter files: counters and indices that stand beside what was trained, such as the `num_batches_tracked` of a saved
//! batch norm.
//!
//! They are kept as single-precision values, which hold whole numbers up to 2^24 exactly; larger ones are not written again. A weight or a
//! factor in integers is a quantised one, whose values mean something else: it is refused by name.

use super::{StoredDtype, TensorProblem};

/// Whole numbers up to here are exact in single precision.
const EXACT: f32 = 16_777_216.0;

/// The values of a tensor in an integer format, from little-endian bytes.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "larger numbers are not written again, and a sign is what wraps"
)]
pub(super) fn decode(stored: StoredDtype, bytes: &[u8]) -> Vec<f32> {
    let size = stored.size();
    let value = |raw: &[u8]| {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(raw);
        let wide = u64::from_le_bytes(wide);
        if stored == StoredDtype::U8 {
            return wide as f32;
        }
        // The sign is in the highest bit of the value, which becomes that of the wide number.
        let unused = 64 - 8 * size;
        (((wide << unused) as i64) >> unused) as f32
    };
    bytes.chunks_exact(size).map(value).collect()
}

/// The same bytes again; `Err` with the index of a value that is no exact number of the format.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "whole numbers of this size are exact"
)]
pub(super) fn encode(stored: StoredDtype, values: &[f32]) -> Result<Vec<u8>, usize> {
    let size = stored.size();
    let mut bytes = Vec::with_capacity(values.len() * size);
    for (index, &value) in values.iter().enumerate() {
        let whole = value as i64;
        let fits = value.abs() < EXACT && whole as f32 == value;
        let raw = whole.to_le_bytes();
        if !fits || decode(stored, &raw[..size]) != [value] {
            return Err(index);
        }
        bytes.extend_from_slice(&raw[..size]);
    }
    Ok(bytes)
}

/// Every weight, bias or factor that is stored in integers.
pub(crate) fn quantised<'a>(
    tensors: impl IntoIterator<Item = (&'a str, StoredDtype)>,
) -> Vec<TensorProblem> {
    let trained = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or(name);
        ["weight", "bias"].contains(&last) || name.split('.').any(|part| part.starts_with("lora_"))
    };
    tensors
        .into_iter()
        .filter(|(name, stored)| !stored.is_float() && trained(name))
        .map(|(name, stored)| TensorProblem::Quantised {
            name: name.to_owned(),
            dtype: stored.name(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_and_sign_come_back() {
        for (stored, bytes) in [
            (StoredDtype::I64, (-3_i64).to_le_bytes().to_vec()),
            (StoredDtype::I32, (-3_i32).to_le_bytes().to_vec()),
            (StoredDtype::I16, (-3_i16).to_le_bytes().to_vec()),
            (StoredDtype::I8, (-3_i8).to_le_bytes().to_vec()),
        ] {
            assert_eq!(decode(stored, &bytes), [-3.0], "{stored:?}");
            assert_eq!(encode(stored, &[-3.0]).unwrap(), bytes, "{stored:?}");
        }
        assert_eq!(decode(StoredDtype::U8, &[200, 7]), [200.0, 7.0]);
        assert_eq!(encode(StoredDtype::U8, &[200.0, 7.0]).unwrap(), [200, 7]);
        let large = decode(StoredDtype::I64, &(1_i64 << 40).to_le_bytes());
        assert_eq!(large, [1.099_511_6e12]);
    }

    #[test]
    fn what_is_no_exact_number_of_the_format_is_not_written() {
        assert_eq!(encode(StoredDtype::I64, &[1.0, 0.5]), Err(1));
        assert_eq!(encode(StoredDtype::I64, &[EXACT]), Err(0));
        assert_eq!(encode(StoredDtype::U8, &[-1.0]), Err(0));
        assert_eq!(encode(StoredDtype::I8, &[128.0]), Err(0));
        assert_eq!(encode(StoredDtype::I32, &[f32::NAN]), Err(0));
    }

    #[test]
    fn a_counter_is_a_fact_and_a_quantised_weight_a_fault() {
        let names = [
            "bn.num_batches_tracked",
            "q.lora_A.weight",
            "q.weight",
            "q.lora_B.scale",
        ];
        let problems = quantised(names.map(|name| (name, StoredDtype::I8)));
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].to_string().contains("`q.lora_A.weight`"));
    }
}
