//! Which tensor of a file gets which format.

use crate::GgmlType;

/// The formats of a file's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// That of matrices.
    pub matrices: GgmlType,
}

impl Kinds {
    /// The format of a tensor of a file.
    ///
    /// Norms, biases and tables of positions are F32, as llama.cpp wants them. The table of tokens and the output layer, through which every
    /// token passes, have eight bits where matrices have fewer. Matrices whose rows are not whole blocks of their format get the nearest
    /// one of smaller blocks, as by llama.cpp's own quantiser: Q5_0, Q5_1 and Q8_0 in place of Q4_K, Q5_K and Q6_K; F16 where none fits.
    #[must_use]
    pub fn of(self, name: &str, shape: &[u64]) -> GgmlType {
        let columns = shape.last().copied().unwrap_or(0);
        if shape.len() < 2 || name == "position_embd.weight" {
            return GgmlType::F32;
        }
        let is_table = matches!(name, "token_embd.weight" | "output.weight");
        let wanted = match self.matrices {
            plain @ (GgmlType::F32 | GgmlType::F16 | GgmlType::BF16) => plain,
            _ if is_table => GgmlType::Q8_0,
            packed => packed,
        };
        let next = match wanted {
            GgmlType::Q4_K => GgmlType::Q5_0,
            GgmlType::Q5_K => GgmlType::Q5_1,
            GgmlType::Q6_K => GgmlType::Q8_0,
            other => other,
        };
        let fits = |kind: &GgmlType| columns.is_multiple_of(kind.block_values());
        [wanted, next]
            .into_iter()
            .find(fits)
            .unwrap_or(GgmlType::F16)
    }
}

/// llama.cpp's number of a file whose matrices have this format, `general.file_type`.
#[must_use]
pub fn file_type(matrices: GgmlType) -> Option<u32> {
    Some(match matrices {
        GgmlType::F32 => 0,
        GgmlType::F16 => 1,
        GgmlType::Q4_0 => 2,
        GgmlType::Q4_1 => 3,
        GgmlType::Q8_0 => 7,
        GgmlType::Q5_0 => 8,
        GgmlType::Q5_1 => 9,
        GgmlType::Q4_K => 14,
        GgmlType::Q5_K => 16,
        GgmlType::Q6_K => 18,
        GgmlType::BF16 => 32,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tensors_tables_and_odd_rows_have_formats_of_their_own() {
        let kinds = Kinds {
            matrices: GgmlType::Q4_K,
        };
        let of = |name: &str, shape: &[u64]| kinds.of(name, shape);
        assert_eq!(of("blk.0.attn_q.weight", &[64, 512]), GgmlType::Q4_K);
        assert_eq!(of("blk.0.attn_q.weight", &[64, 576]), GgmlType::Q5_0);
        assert_eq!(of("blk.0.attn_q.weight", &[64, 100]), GgmlType::F16);
        assert_eq!(of("blk.0.attn_norm.weight", &[512]), GgmlType::F32);
        assert_eq!(of("position_embd.weight", &[64, 512]), GgmlType::F32);
        assert_eq!(of("token_embd.weight", &[64, 512]), GgmlType::Q8_0);
        let plain = Kinds {
            matrices: GgmlType::BF16,
        };
        assert_eq!(plain.of("output.weight", &[64, 100]), GgmlType::BF16);
    }

    #[test]
    fn every_format_that_can_be_made_has_a_number() {
        for kind in GgmlType::all() {
            assert_eq!(kind.can_quantise(), file_type(kind).is_some(), "{kind}");
        }
    }
}
