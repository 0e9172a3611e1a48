//! Every block format against the Python package `gguf` and ggml's own functions, bit for bit, and by its properties.

use std::path::Path;

use peft_gguf::block::{BlockError, dequantise, quantise};
use peft_gguf::{GgmlType, GgufFile};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn golden() -> GgufFile {
    GgufFile::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats.gguf"))
        .expect("a golden file")
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Values from a normal distribution, as the sum of twelve uniform ones.
fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut one = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
    (0..count).map(|_| one()).collect()
}

fn there_and_back(kind: GgmlType, values: &[f32]) -> Vec<f32> {
    let (mut blocks, mut back) = (Vec::new(), vec![0.0; values.len()]);
    quantise(kind, values, &mut blocks).expect("finite values");
    dequantise(kind, &blocks, &mut back).expect("whole blocks");
    back
}

/// The root of the mean squared error over that of the values.
fn relative_error(kind: GgmlType, values: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value).powi(2);
    let back = there_and_back(kind, values);
    let error: f64 = back.iter().zip(values).map(|(a, b)| square(a - b)).sum();
    let whole: f64 = values.iter().map(|value| square(*value)).sum();
    (error / whole).sqrt()
}

#[test]
fn values_of_blocks_are_those_of_the_python_package() {
    let file = golden();
    let kinds = GgmlType::all().filter(|kind| file.tensor(&format!("blocks.{kind}")).is_ok());
    let mut count = 0;
    for kind in kinds {
        let found = file.values(&format!("blocks.{kind}")).unwrap();
        let expected = file.values(&format!("values.{kind}")).unwrap();
        assert!(expected.iter().any(|value| *value != 0.0));
        assert_eq!(bits(&found), bits(&expected), "{kind}");
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn blocks_of_values_are_those_of_the_python_package_and_of_ggml() {
    let file = golden();
    let input = file.values("input").unwrap();
    let mut count = 0;
    for kind in GgmlType::all().filter(|kind| file.tensor(&format!("made.{kind}")).is_ok()) {
        let expected = file.read(&format!("made.{kind}")).unwrap();
        let mut found = Vec::new();
        quantise(kind, &input, &mut found).unwrap();
        let row_bytes = expected.row_bytes();
        let rows = found
            .chunks(row_bytes)
            .zip(expected.bytes().chunks(row_bytes));
        for (row, (found, expected)) in rows.enumerate() {
            assert_eq!(found, expected, "{kind}, row {row}");
        }
        assert_eq!(found.len(), expected.bytes().len());
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn the_error_on_normal_values_is_that_of_the_format() {
    let values = normal(1 << 16, 3);
    let bounds = [
        (GgmlType::F32, 0.0),
        (GgmlType::F16, 0.0003),
        (GgmlType::BF16, 0.002),
        (GgmlType::Q8_0, 0.006),
        (GgmlType::Q6_K, 0.02),
        (GgmlType::Q5_K, 0.04),
        (GgmlType::Q5_1, 0.045),
        (GgmlType::Q5_0, 0.05),
        (GgmlType::Q4_K, 0.075),
        (GgmlType::Q4_1, 0.09),
        (GgmlType::Q4_0, 0.1),
    ];
    assert_eq!(
        bounds.len(),
        GgmlType::all().filter(|kind| kind.can_quantise()).count()
    );
    for (kind, bound) in bounds {
        let error = relative_error(kind, &values);
        println!("{kind}: {error:.5}");
        assert!(
            error <= bound && (error > bound * 0.6 || kind == GgmlType::F32),
            "{kind}: {error}"
        );
    }
}

#[test]
fn what_is_not_finite_or_too_large_is_refused_and_leaves_the_output_alone() {
    for kind in GgmlType::all().filter(|kind| kind.can_quantise()) {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = normal(512, 4);
            values[300] = bad;
            let mut out = vec![7];
            let error = quantise(kind, &values, &mut out).unwrap_err();
            assert!(
                matches!(error, BlockError::NotFinite { index: 300, .. }),
                "{kind}: {error}"
            );
            assert_eq!(out, [7], "{kind}");
        }
        let mut values = vec![0.0; 512];
        (values[10], values[300]) = (-1.0, f32::MAX);
        let outcome = quantise(kind, &values, &mut Vec::new());
        match kind {
            GgmlType::F32 => assert_eq!(outcome, Ok(())),
            _ => assert!(
                matches!(outcome, Err(BlockError::TooLarge { index: 300, .. })),
                "{kind}: {outcome:?}"
            ),
        }
    }
}

#[test]
fn lengths_that_are_no_whole_blocks_are_refused() {
    for kind in GgmlType::all().filter(|kind| kind.can_dequantise()) {
        let (values, bytes) = (kind.block_values() as usize, kind.block_bytes() as usize);
        let mut out = vec![0.0; 2 * values];
        dequantise(kind, &vec![0; 2 * bytes], &mut out).unwrap();
        for wrong in [0, bytes, 2 * bytes + 1, 3 * bytes] {
            let outcome = dequantise(kind, &vec![0; wrong], &mut out);
            assert!(
                matches!(outcome, Err(BlockError::Length { .. })),
                "{kind}, {wrong}"
            );
        }
        if kind.can_quantise() && values > 1 {
            let outcome = quantise(kind, &vec![0.0; values + 1], &mut Vec::new());
            assert!(matches!(outcome, Err(BlockError::Partial { .. })), "{kind}");
        }
    }
    for kind in GgmlType::all().filter(|kind| !kind.can_dequantise()) {
        let error = dequantise(kind, &[], &mut []).unwrap_err();
        assert!(error.to_string().contains("Q4_K"), "{error}");
    }
}

#[test]
fn integers_and_doubles_are_numbers() {
    let mut out = [0.0; 2];
    dequantise(GgmlType::I8, &[0xff, 2], &mut out).unwrap();
    assert_eq!(out, [-1.0, 2.0]);
    dequantise(GgmlType::I16, &[0xff, 0xff, 0, 1], &mut out).unwrap();
    assert_eq!(out, [-1.0, 256.0]);
    let longs = [-3_i64, 1 << 40].map(i64::to_le_bytes).concat();
    dequantise(GgmlType::I64, &longs, &mut out).unwrap();
    assert_eq!(out, [-3.0, (1_u64 << 40) as f32]);
    let doubles = [0.1_f64, -1e300].map(f64::to_le_bytes).concat();
    dequantise(GgmlType::F64, &doubles, &mut out).unwrap();
    assert_eq!(out, [0.1, f32::NEG_INFINITY]);
}

#[test]
fn values_of_any_magnitude_become_blocks_or_an_error() {
    for exponent in -44..39 {
        let scale = 10_f64.powi(exponent) as f32;
        let values: Vec<f32> = normal(512, 5)
            .iter()
            .map(|value| (value * scale).clamp(-3e38, 3e38))
            .collect();
        for kind in GgmlType::all().filter(|kind| kind.can_quantise()) {
            let mut blocks = Vec::new();
            match quantise(kind, &values, &mut blocks) {
                Ok(()) => {
                    let mut back = vec![0.0; 512];
                    dequantise(kind, &blocks, &mut back).unwrap();
                    assert!(
                        back.iter().all(|value| value.is_finite()),
                        "{kind}, 1e{exponent}"
                    );
                }
                Err(error) => assert!(
                    matches!(error, BlockError::TooLarge { .. }) && exponent > 3,
                    "{kind}, 1e{exponent}"
                ),
            }
        }
    }
}
