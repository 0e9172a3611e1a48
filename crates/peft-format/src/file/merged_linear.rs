//! Merged linear layers of PEFT 0.1 and 0.2 and of loralib: one layer whose query, key and value parts are adapted
//! separately. Their `lora_B` has three dimensions, `[d_out, r, 1]`, beside a matrix `lora_A`; no later format has that.

use std::collections::BTreeMap;

use super::{HostTensor, TensorProblem, parse_key};

const FACTORS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

/// Every `lora_B` of a merged linear layer.
#[must_use]
pub fn merged_linear(tensors: &BTreeMap<String, HostTensor>) -> Vec<TensorProblem> {
    let [a, b] = FACTORS.map(|factor| {
        tensors.iter().filter_map(move |(raw, tensor)| {
            let key = parse_key(raw, &FACTORS)?;
            (key.tensor == factor).then_some((key.module, (raw, &tensor.shape)))
        })
    });
    let a: BTreeMap<_, _> = a.collect();
    b.filter(|(module, (_, shape))| {
        let beside = a.get(module).map(|(_, shape)| shape.len());
        matches!(shape[..], [_, _, 1]) && beside == Some(2)
    })
    .map(|(_, (raw, shape))| TensorProblem::MergedLinear {
        name: raw.clone(),
        shape: shape.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(b: &[usize]) -> BTreeMap<String, HostTensor> {
        let tensor =
            |shape: &[usize]| HostTensor::new("x", shape, vec![0.5; shape.iter().product()]);
        BTreeMap::from([
            ("h.0.c_attn.lora_A".to_owned(), tensor(&[4, 6]).unwrap()),
            ("h.0.c_attn.lora_B".to_owned(), tensor(b).unwrap()),
        ])
    }

    #[test]
    fn only_a_three_dimensional_b_beside_a_matrix_is_named() {
        assert_eq!(merged_linear(&tensors(&[12, 2])), []);
        let problems = merged_linear(&tensors(&[12, 2, 1]));
        assert!(
            problems[0]
                .to_string()
                .contains("h.0.c_attn.lora_B` [12, 2, 1]"),
            "{problems:?}"
        );
        let mut convolution = tensors(&[12, 2, 1]);
        convolution.insert(
            "h.0.c_attn.lora_A".to_owned(),
            HostTensor::new("x", [2, 6, 3], vec![0.5; 36]).unwrap(),
        );
        assert_eq!(merged_linear(&convolution), []);
    }
}
