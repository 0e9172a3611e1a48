//! Merged linear layers of PEFT 0.1 and 0.2 and of loralib: one layer whose query, key and value parts are adapted
//! separately. Their `lora_B` has three dimensions, `[d_out, r, 1]`, beside a matrix `lora_A`; no later format has that.

use std::collections::BTreeMap;

use super::{HostTensor, TensorProblem, parse_key};

const FACTORS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

/// Every `lora_B` of a merged linear layer.
#[must_use]
pub fn merged_linear(tensors: &BTreeMap<String, HostTensor>) -> Vec<TensorProblem> {
    let tensors = tensors.iter();
    merged_shapes(tensors.map(|(name, tensor)| (name.as_str(), &tensor.shape[..])))
}

/// The same, of tensors by name and shape.
pub(crate) fn merged_shapes<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
) -> Vec<TensorProblem> {
    let tensors: Vec<_> = tensors.into_iter().collect();
    let [a, b] = FACTORS.map(|factor| {
        tensors.iter().filter_map(move |(raw, shape)| {
            let key = parse_key(raw, &FACTORS)?;
            (key.tensor == factor).then_some((key.module, (*raw, *shape)))
        })
    });
    let a: BTreeMap<_, _> = a.collect();
    b.filter(|(module, (_, shape))| {
        let beside = a.get(module).map(|(_, shape)| shape.len());
        matches!(shape[..], [_, _, 1]) && beside == Some(2)
    })
    .map(|(_, (raw, shape))| TensorProblem::MergedLinear {
        name: raw.to_owned(),
        shape: shape.to_vec(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "h.0.c_attn.lora_A";
    const B: &str = "h.0.c_attn.lora_B";

    #[test]
    fn only_a_three_dimensional_b_beside_a_matrix_is_named() {
        assert_eq!(merged_shapes([(A, &[4, 6][..]), (B, &[12, 2])]), []);
        let problems = merged_shapes([(A, &[4, 6][..]), (B, &[12, 2, 1])]);
        assert!(
            problems[0]
                .to_string()
                .contains("h.0.c_attn.lora_B` [12, 2, 1]"),
            "{problems:?}"
        );
        let convolution = [(A, &[2, 6, 3][..]), (B, &[12, 2, 1])];
        assert_eq!(merged_shapes(convolution), []);
    }
}
