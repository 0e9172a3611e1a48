//! NF4 as bitsandbytes has it, bit for bit: codes, scales and values.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use peft_kernels::{Nf4, Nf4Error, PackedRows};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/nf4.json")).unwrap()
}

fn numbers(golden: &Value, key: &str) -> Vec<f32> {
    let numbers = golden[key].as_array().unwrap().iter();
    numbers.map(|x| x.as_f64().unwrap() as f32).collect()
}

#[test]
fn codes_scales_and_values_are_those_of_bitsandbytes() {
    let golden = golden();
    let dims = [0, 1].map(|at| golden["dims"][at].as_u64().unwrap() as usize);
    let packed = Nf4::quantised(&numbers(&golden, "values"), dims).unwrap();
    let codes: Vec<u8> = (golden["codes"].as_array().unwrap().iter())
        .map(|code| code.as_u64().unwrap() as u8)
        .collect();
    assert_eq!(packed.codes(), codes);
    assert_eq!(packed.scales(), numbers(&golden, "scales"));
    let mut values = vec![f32::NAN; dims[0] * dims[1]];
    packed.unpack(0..dims[0], 0..dims[1], &mut values);
    assert_eq!(values, numbers(&golden, "unpacked"));
    assert_eq!(
        packed.bytes(),
        codes.len() + 4 * dims[0] * dims[1] / Nf4::BLOCK
    );
    let mut last = vec![f32::NAN; Nf4::BLOCK];
    packed.unpack(
        dims[0] - 1..dims[0],
        dims[1] - Nf4::BLOCK..dims[1],
        &mut last,
    );
    assert_eq!(last, values[values.len() - Nf4::BLOCK..]);
}

#[test]
fn rows_of_parts_of_blocks_and_values_that_are_no_numbers_are_refused() {
    let partial = Nf4::quantised(&[0.0; 96], [1, 96]);
    assert_eq!(partial.unwrap_err(), Nf4Error::Partial { columns: 96 });
    let mut values = [0.5; 128];
    values[100] = f32::INFINITY;
    let error = Nf4::quantised(&values, [2, 64]).unwrap_err().to_string();
    assert!(error.contains("value 100 is inf"), "{error}");
}
